//! Repository URLs, and locations of PostgreSQL servers: none that is taken holds a password.

use super::input::Input;
use super::memory;
use nightsafe::repo::store::url::StoreUrl;
use nightsafe::snapshot::postgres::server::Server;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let Ok(text) = std::str::from_utf8(input.rest()) else { return };
    memory::at_most((64 << 10) + 64 * text.len(), || if choice & 1 == 0 { repository(text) } else { server(text) });
}

fn repository(text: &str) {
    let url = match StoreUrl::parse(text) {
        Ok(url) => url,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    assert_eq!(url.to_string(), text);
    if let Some(folder) = url.folder() {
        assert!(!folder.as_os_str().is_empty() && !folder.as_os_str().as_encoded_bytes().contains(&0));
        return;
    }
    let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
    if scheme == "fs" {
        return; // A path, in which anything may be.
    }
    let address = ["//", "https://", "http://"].iter().find_map(|before| rest.strip_prefix(before));
    if let Some(address) = address {
        // As RFC 3986 has it: the last `@` before the path ends the user.
        let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
        assert!(!authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')), "a password: {text:?}");
        assert!(!address.contains('?'), "a query: {text:?}");
    }
}

fn server(text: &str) {
    let Ok(server) = Server::parse(text) else { return };
    let written = server.connection_string();
    assert!(!written.contains('\0') && !server.describe().is_empty());
    let again = Server::parse(&written).expect("what the program writes it reads");
    assert_eq!(again.connection_string(), written, "{text:?}");
}
