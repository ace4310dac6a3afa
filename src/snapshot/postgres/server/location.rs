//! From the text of a location to libpq's parameters.

use crate::snapshot::postgres::error::PostgresError;
use std::collections::BTreeMap;

/// Parameters that hold a secret.
const SECRETS: [&str; 5] = ["password", "sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret"];

type Parameters = BTreeMap<String, String>;

/// The parameters of a URL or of a string of keywords.
pub(super) fn parse(location: &str) -> Result<Parameters, PostgresError> {
    let parameters = match location.split_once("://") {
        Some(("postgres" | "postgresql", rest)) => url(rest)?,
        Some((scheme, _)) if !scheme.contains(['=', ' ', '/']) => {
            return Err(malformed("the scheme is neither 'postgres' nor 'postgresql'"));
        }
        _ => keywords(location)?,
    };
    if let Some(secret) = parameters.keys().find(|name| SECRETS.contains(&name.as_str())) {
        return Err(PostgresError::PasswordInLocation { parameter: secret.clone() });
    }
    if parameters.values().any(|value| value.contains('\0')) {
        return Err(malformed("it holds a NUL"));
    }
    Ok(parameters)
}

fn malformed(problem: &'static str) -> PostgresError {
    PostgresError::Malformed { problem }
}

/// What follows `postgres://`.
fn url(rest: &str) -> Result<Parameters, PostgresError> {
    let mut parameters = Parameters::new();
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = address.split_once('/').unwrap_or((address, ""));
    let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
    if user.contains(':') {
        return Err(PostgresError::PasswordInLocation { parameter: "password".into() });
    }
    let (host, port) = addresses(hosts)?;
    for (name, value) in [("user", decode(user)?), ("host", host), ("port", port), ("dbname", decode(database)?)] {
        if !value.is_empty() {
            parameters.insert(name.into(), value);
        }
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(malformed("a parameter has no value"))?;
        match (decode(name)?, decode(value)?) {
            // As libpq reads what JDBC writes.
            (name, value) if name == "ssl" && value == "true" => parameters.insert("sslmode".into(), "require".into()),
            (name, value) if is_keyword(&name) => parameters.insert(name, value),
            _ => return Err(malformed("the name of a parameter is none")),
        };
    }
    Ok(parameters)
}

/// Hosts and ports, each list separated by commas, as libpq wants them.
fn addresses(text: &str) -> Result<(String, String), PostgresError> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    for address in text.split(',') {
        let (host, port) = match address.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(malformed("the ']' of an address is missing"))?;
                (host, port.strip_prefix(':').unwrap_or(port))
            }
            None => address.split_once(':').unwrap_or((address, "")),
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed("the port isn't a number"));
        }
        hosts.push(decode(host)?);
        ports.push(port);
    }
    let join = |empty: bool, text: String| if empty { String::new() } else { text };
    let no_port = ports.iter().all(|port| port.is_empty());
    let no_host = hosts.iter().all(String::is_empty);
    Ok((join(no_host, hosts.join(",")), join(no_port, ports.join(","))))
}

/// Resolves `%2F` and the like.
fn decode(text: &str) -> Result<String, PostgresError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let hex = tail.get(..2).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
            let hex = hex.and_then(|hex| std::str::from_utf8(hex).ok());
            let value = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(value.ok_or(malformed("a '%' isn't followed by two hexadecimal digits"))?);
            rest = &tail[2..];
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed("it isn't text in UTF-8"))
}

/// `key = value` and `key = 'value'`, with backslashes before quotes and backslashes.
fn keywords(text: &str) -> Result<Parameters, PostgresError> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, tail) = rest.split_once('=').ok_or(malformed("a keyword has no value"))?;
        let name = name.trim_end();
        if !is_keyword(name) {
            return Err(malformed("a keyword is none"));
        }
        let (value, tail) = value(tail.trim_start())?;
        parameters.insert(name.into(), value);
        rest = tail.trim_start();
    }
    Ok(parameters)
}

fn is_keyword(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A value at the beginning of a text, and what follows it.
fn value(text: &str) -> Result<(String, &str), PostgresError> {
    let (quoted, text) = text.strip_prefix('\'').map_or((false, text), |text| (true, text));
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            blank if !quoted && blank.is_whitespace() => return Ok((value, &text[at..])),
            other => value.push(other),
        }
    }
    if quoted { Err(malformed("a quote isn't closed")) } else { Ok((value, "")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::postgres::quote;
    use proptest::prelude::*;

    fn pairs(location: &str) -> Vec<(String, String)> {
        parse(location).unwrap().into_iter().collect()
    }

    fn expect(location: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(pairs(location), expected, "{location}");
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        expect("postgres://", &[]);
        expect("postgresql:///app", &[("dbname", "app")]);
        expect("postgresql://db", &[("host", "db")]);
        expect(
            "postgres://me@db.example:6432/app?sslmode=verify-full&connect_timeout=5",
            &[
                ("connect_timeout", "5"),
                ("dbname", "app"),
                ("host", "db.example"),
                ("port", "6432"),
                ("sslmode", "verify-full"),
                ("user", "me"),
            ],
        );
        expect("postgresql:///db?host=/run/pg&port=5433", &[("dbname", "db"), ("host", "/run/pg"), ("port", "5433")]);
        expect("postgresql://%2Frun%2Fpg/a%20b", &[("dbname", "a b"), ("host", "/run/pg")]);
        expect("postgresql://[::1]:5433/x", &[("dbname", "x"), ("host", "::1"), ("port", "5433")]);
        expect("postgresql://a:1,b:2/x", &[("dbname", "x"), ("host", "a,b"), ("port", "1,2")]);
        expect("postgresql://:5433", &[("port", "5433")]);
        expect("postgres://a/x?ssl=true", &[("dbname", "x"), ("host", "a"), ("sslmode", "require")]);
        expect("postgres://me%40corp@a/x", &[("dbname", "x"), ("host", "a"), ("user", "me@corp")]);
    }

    #[test]
    fn keywords_are_read_as_libpq_reads_them() {
        expect("", &[]);
        expect("service=wiki", &[("service", "wiki")]);
        expect(" host = db  dbname='a b' ", &[("dbname", "a b"), ("host", "db")]);
        expect(r"dbname='it\'s \\' user=x\ y", &[("dbname", r"it's \"), ("user", "x y")]);
        expect("options='-c a=b://c'", &[("options", "-c a=b://c")]);
    }

    #[test]
    fn passwords_are_refused_without_being_repeated() {
        for location in [
            "postgres://me:hush@db/app",
            "postgres://me:@db/app",
            "postgres:///app?password=hush",
            "postgres:///app?pass%77ord=hush",
            "postgres:///app?sslpassword=hush",
            "host=db password=hush",
            "host=db password = 'hush'",
        ] {
            let error = parse(location).unwrap_err();
            assert!(matches!(error, PostgresError::PasswordInLocation { .. }), "{location}: {error}");
            assert!(!error.to_string().contains("hush") && error.to_string().contains("PGPASSWORD"), "{error}");
        }
    }

    #[test]
    fn what_is_no_location_is_refused() {
        for location in [
            "mysql://db/app",
            "app",
            "/var/lib/db",
            "host",
            "dbname='open",
            "postgres://[::1/x",
            "postgres://a:b/x?",
            "postgres://a/%zz",
            "postgres://a/%f",
            "postgres://a/%ff",
            "postgres://a/%00",
            "postgres://a?x",
            "postgres://a?=x",
            "Host=x",
            "=x",
        ] {
            assert!(matches!(parse(location), Err(PostgresError::Malformed { .. })), "{location}");
        }
    }

    proptest! {
        #[test]
        fn any_value_survives_a_connection_string(value in "[^\0]*") {
            let parameters = parse(&format!("dbname={} host=x", quote::parameter(&value))).unwrap();
            prop_assert_eq!(&parameters["dbname"], &value);
        }

        #[test]
        fn nothing_panics(text in ".*") {
            let _ = parse(&text);
            let _ = parse(&format!("postgres://{text}"));
        }
    }
}
