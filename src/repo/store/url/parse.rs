//! From the text of a URL to the store and the place in it.

use super::super::opendal::{Place, Root, SERVICES, Service, feature_of};
use super::{Kind, UrlError, secret_variable};
use std::collections::BTreeMap;
use std::path::PathBuf;

const SFTP: &str = "sftp:user@host:path or sftp://user@host:port/path";
const WEBDAV: &str = "webdav:https://host/path";
const BUCKET: &str = "scheme:bucket/prefix or scheme:https://host/bucket/prefix";
const FOLDER: &str = "scheme:path";
const FILE: &str = "file:path, file:///path or just the path";

/// What a URL means.
pub(super) fn kind(text: &str) -> Result<Kind, UrlError> {
    let Some((scheme, rest)) = split_scheme(text) else {
        return match text {
            "" => Err(UrlError::Empty),
            "~" => Err(UrlError::Tilde),
            _ if text.starts_with("~/") => Err(UrlError::Tilde),
            path => local(path),
        };
    };
    match scheme.as_str() {
        "file" => local(rest),
        "memory" if rest.is_empty() => Ok(Kind::Memory),
        "memory" => Err(malformed("memory", "nothing follows", "memory:")),
        scheme => match Service::find(scheme) {
            Some(service) => Ok(Kind::Service(service, place(service, rest)?)),
            None => Err(unknown(scheme)),
        },
    }
}

/// The scheme in lower case and what follows its colon, if a colon comes before any slash.
fn split_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    (!scheme.contains('/')).then(|| (scheme.to_ascii_lowercase(), rest))
}

fn unknown(scheme: &str) -> UrlError {
    if let Some(feature) = feature_of(scheme) {
        return UrlError::NotCompiled { scheme: scheme.to_owned(), feature };
    }
    let known: Vec<_> = SERVICES.iter().map(|service| service.scheme).collect();
    UrlError::UnknownScheme { scheme: scheme.to_owned(), known: known.join(", ") }
}

fn malformed(scheme: &str, problem: &'static str, expected: &'static str) -> UrlError {
    UrlError::Malformed { scheme: scheme.to_owned(), problem, expected }
}

fn local(path: &str) -> Result<Kind, UrlError> {
    let path = match path.strip_prefix("//") {
        None => path,
        Some(rest) if rest.starts_with('/') => rest,
        Some(_) => return Err(malformed("file", "it names a host", FILE)),
    };
    if path.is_empty() || path.contains('\0') {
        return Err(malformed("file", "the path is missing", FILE));
    }
    Ok(Kind::Local(PathBuf::from(path)))
}

fn place(service: &Service, rest: &str) -> Result<Place, UrlError> {
    // A path of this host has no user, whatever its names look like.
    let secret = if service.scheme == "fs" { None } else { secret_in_address(rest) };
    if let Some(option) = secret {
        // S3 has no passwords: there it's the secret half of an access key.
        let option = if service.scheme == "s3" && option == "password" { "secret_access_key" } else { option };
        return Err(UrlError::SecretInUrl { option, variable: secret_variable(option) });
    }
    if rest.chars().any(char::is_control) {
        return Err(malformed(service.scheme, "it holds a control character", expected(service)));
    }
    match (service.scheme, service.root()) {
        ("sftp", _) => sftp(rest),
        ("webdav", _) => webdav(rest),
        ("fs", _) => fs(rest),
        (scheme, Root::Folder) => Ok(Place { options: BTreeMap::new(), prefix: folder(scheme, rest, FOLDER)? }),
        (scheme, Root::Bucket(option)) => bucket(scheme, option, rest),
    }
}

fn expected(service: &Service) -> &'static str {
    match (service.scheme, service.root()) {
        ("sftp", _) => SFTP,
        ("webdav", _) => WEBDAV,
        (_, Root::Folder) => FOLDER,
        (_, Root::Bucket(_)) => BUCKET,
    }
}

/// The option that the secret in an address belongs into, if there is one: `user:password@host`, or a query (`?secret_access_key=…`, `?sig=…`).
pub(super) fn secret_in_address(text: &str) -> Option<&'static str> {
    // Behind `//` the last `@` ends the user, who may be called by an address of e-mail (RFC 3986, section 3.2.1); elsewhere the first, since a path may follow that holds one.
    let address = behind_slashes(text);
    let login = match address {
        Some(address) => address.split('/').next().and_then(|authority| authority.rsplit_once('@')),
        None => text.split('/').next().and_then(|authority| authority.split_once('@')),
    };
    if login.is_some_and(|(user, _)| user.contains(':')) {
        return Some("password");
    }
    let query = address.and_then(|address| address.split_once('?'));
    let signed = query
        .is_some_and(|(_, query)| query.split('&').any(|pair| pair.starts_with("sig=") || pair.starts_with("sv=")));
    match query {
        Some(_) if signed => Some("sas_token"),
        Some(_) => Some("secret_access_key"),
        None => None,
    }
}

/// What follows the `//` of a URL, with or without its scheme. Further on in a path `//` means nothing.
fn behind_slashes(text: &str) -> Option<&str> {
    let (scheme, address) = text.split_once("//")?;
    let is_scheme = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    };
    (scheme.is_empty() || scheme.strip_suffix(':').is_some_and(is_scheme)).then_some(address)
}

/// A path as a prefix of keys: without slashes at its ends and with one behind it. What OpenDAL would change is refused.
fn folder(scheme: &str, path: &str, expected: &'static str) -> Result<String, UrlError> {
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err(malformed(scheme, "'..' can't be part of it", expected));
    }
    if parts.iter().any(|part| part.trim() != *part) {
        return Err(malformed(scheme, "a name begins or ends with a space", expected));
    }
    Ok(parts.iter().flat_map(|part| [part, "/"]).collect())
}

fn fs(path: &str) -> Result<Place, UrlError> {
    let Kind::Local(path) = local(path)? else { return Err(malformed("fs", "the path is missing", FOLDER)) };
    let path = std::path::absolute(&path).ok().and_then(|path| path.to_str().map(str::to_owned));
    let path = path.ok_or_else(|| malformed("fs", "the working directory isn't text", FOLDER))?;
    // The whole tree is the service's root, so that OpenDAL doesn't create the folder.
    let options = BTreeMap::from([("root", "/".to_owned())]);
    Ok(Place { options, prefix: folder("fs", &path, FOLDER)? })
}

fn bucket(scheme: &str, option: &'static str, rest: &str) -> Result<Place, UrlError> {
    let mut options = BTreeMap::new();
    let path = match rest.split_once("://") {
        Some((protocol @ ("http" | "https"), address)) => {
            let (host, path) = address.split_once('/').unwrap_or((address, ""));
            if host.is_empty() {
                return Err(malformed(scheme, "the host is missing", BUCKET));
            }
            options.insert("endpoint", format!("{protocol}://{host}"));
            path
        }
        Some(_) => return Err(malformed(scheme, "the protocol is neither http nor https", BUCKET)),
        None => rest.strip_prefix("//").unwrap_or(rest),
    };
    let (name, prefix) = path.split_once('/').unwrap_or((path, ""));
    let clean = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if !clean {
        return Err(malformed(
            scheme,
            "the bucket's name is missing or holds other characters than letters, digits, '.', '-' and '_'",
            BUCKET,
        ));
    }
    options.insert(option, name.to_owned());
    Ok(Place { options, prefix: folder(scheme, prefix, BUCKET)? })
}

fn sftp(rest: &str) -> Result<Place, UrlError> {
    let wrong = |problem| malformed("sftp", problem, SFTP);
    let (login, port, path) = if let Some(address) = rest.strip_prefix("//") {
        let (host, path) = address.split_once('/').ok_or_else(|| wrong("the path is missing"))?;
        let (login, port) = split_port(host);
        (login, port, path.strip_prefix("~/").map_or_else(|| format!("/{path}"), str::to_owned))
    } else {
        let colon = colon_after_host(rest).ok_or_else(|| wrong("the colon after the host is missing"))?;
        let path = &rest[colon + 1..];
        (&rest[..colon], None, path.strip_prefix("~/").unwrap_or(path).to_owned())
    };
    let (user, host) = match login.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, login),
    };
    // What begins with a dash would be an option of ssh, one of which runs commands.
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && !name.chars().any(|c| c.is_whitespace() || matches!(c, '/' | '@' | '?' | '#'))
    };
    if !is_name(host) || user.is_some_and(|user| !is_name(user)) {
        return Err(wrong("the user or the host is missing or holds characters that it can't"));
    }
    let mut options =
        BTreeMap::from([("endpoint", endpoint(host, port).ok_or_else(|| wrong("the port isn't a number"))?)]);
    options.extend(user.map(|user| ("user", user.to_owned())));
    // Only an absolute path is below the service's root "/"; without one it is the home directory.
    options.extend(path.starts_with('/').then(|| ("root", "/".to_owned())));
    let prefix = folder("sftp", &path, SFTP)?;
    if prefix.is_empty() {
        return Err(wrong("the path is missing"));
    }
    Ok(Place { options, prefix })
}

/// Where the colon between host and path is: the first, but not one in the brackets of an IPv6 address.
fn colon_after_host(rest: &str) -> Option<usize> {
    let host = rest.find('@').map_or(0, |at| at + 1);
    let bracket = if rest[host..].starts_with('[') { rest.find(']')? } else { 0 };
    rest[bracket..].find(':').map(|colon| bracket + colon)
}

/// `host` and the text behind its last colon, if that is a port: not within the brackets of an IPv6 address.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (host, None),
    }
}

/// The host as OpenDAL's `endpoint`.
fn endpoint(host: &str, port: Option<&str>) -> Option<String> {
    match port {
        None => Some(format!("ssh://{host}")),
        Some(port) => port.parse::<u16>().ok().map(|port| format!("ssh://{host}:{port}")),
    }
}

fn webdav(rest: &str) -> Result<Place, UrlError> {
    let wrong = |problem| malformed("webdav", problem, WEBDAV);
    let Some((protocol @ ("http" | "https"), address)) = rest.split_once("://") else {
        return Err(wrong("it doesn't go on with https:// or http://"));
    };
    let (login, path) = address.split_once('/').unwrap_or((address, ""));
    let (user, host) = match login.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, login),
    };
    if host.is_empty() || path.contains(['#', '%']) {
        return Err(wrong("the host is missing, or the path holds '#' or '%' (it is written as it is, not encoded)"));
    }
    let path = folder("webdav", path, WEBDAV)?;
    // The last component is the repository's folder; what leads to it is the server's business and can't be created or looked at everywhere.
    let split = path.trim_end_matches('/').rfind('/').map_or(0, |slash| slash + 1);
    let (server, prefix) = path.split_at(split);
    let endpoint = format!("{protocol}://{host}/{server}");
    let mut options = BTreeMap::from([("endpoint", endpoint.trim_end_matches('/').to_owned())]);
    options.extend(user.map(|user| ("username", user.to_owned())));
    Ok(Place { options, prefix: prefix.to_owned() })
}
