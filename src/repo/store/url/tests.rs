use super::*;
use proptest::prelude::*;

/// Options and prefix of a service's URL.
fn place(text: &str) -> (&'static str, Vec<(&'static str, String)>, String) {
    match StoreUrl::parse(text).unwrap().kind {
        Kind::Service(service, place) => (service.scheme, place.options.into_iter().collect(), place.prefix),
        _ => panic!("{text} is no service"),
    }
}

fn refused(text: &str) -> UrlError {
    StoreUrl::parse(text).err().unwrap_or_else(|| panic!("{text} was accepted"))
}

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(option, value)| ((*option).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn paths_are_folders() {
    for (text, folder) in [
        ("/mnt/x", "/mnt/x"),
        ("./x", "./x"),
        ("x/y", "x/y"),
        ("x", "x"),
        ("./a:b", "./a:b"),
        ("/a:b", "/a:b"),
        ("x/a:b", "x/a:b"),
        ("file:x", "x"),
        ("file:/x", "/x"),
        ("file:///x", "/x"),
        ("FILE:x", "x"),
    ] {
        assert_eq!(StoreUrl::parse(text).unwrap().folder().unwrap().to_str(), Some(folder), "{text}");
    }
}

#[test]
fn buckets() {
    let of =
        |scheme, option, bucket: &str, prefix: &str| (scheme, vec![(option, bucket.to_owned())], prefix.to_owned());
    assert_eq!(place("s3:b"), of("s3", "bucket", "b", ""));
    assert_eq!(place("s3:b/"), of("s3", "bucket", "b", ""));
    assert_eq!(place("s3:b/x/y/"), of("s3", "bucket", "b", "x/y/"));
    assert_eq!(place("s3://b/x"), of("s3", "bucket", "b", "x/"));
    assert_eq!(place("gcs:b/x"), of("gcs", "bucket", "b", "x/"));
    assert_eq!(place("azblob:c/x"), of("azblob", "container", "c", "x/"));
    assert_eq!(place("b2:b/x"), of("b2", "bucket", "b", "x/"));
    let endpoint = vec![("bucket", "b".to_owned()), ("endpoint", "https://h:9000".to_owned())];
    assert_eq!(place("s3:https://h:9000/b/x"), ("s3", endpoint, "x/".to_owned()));
    for text in ["s3:", "s3:/x", "s3:a b", "s3:https:///b", "s3:https://h", "s3:ftp://h/b", "s3:b/../c", "s3:b/ x/y"] {
        assert!(matches!(refused(text), UrlError::Malformed { .. }), "{text}");
    }
}

#[test]
fn folders_over_ssh() {
    let of = |endpoint: &str, root: bool, user: Option<&str>, prefix: &str| {
        let mut options = vec![("endpoint", endpoint.to_owned())];
        options.extend(root.then(|| ("root", "/".to_owned())));
        options.extend(user.map(|user| ("user", user.to_owned())));
        ("sftp", options, prefix.to_owned())
    };
    assert_eq!(place("sftp:u@h:x/y"), of("ssh://h", false, Some("u"), "x/y/"));
    assert_eq!(place("sftp:u@h:~/x"), of("ssh://h", false, Some("u"), "x/"));
    assert_eq!(place("sftp:h:/x"), of("ssh://h", true, None, "x/"));
    assert_eq!(place("sftp:u@[::1]:/x"), of("ssh://[::1]", true, Some("u"), "x/"));
    assert_eq!(place("sftp:h:/a]:b@c"), of("ssh://h", true, None, "a]:b@c/"));
    assert_eq!(place("sftp://u@h:2222/x/y"), of("ssh://h:2222", true, Some("u"), "x/y/"));
    assert_eq!(place("sftp://u@h//x"), of("ssh://h", true, Some("u"), "x/"));
    assert_eq!(place("sftp://h/~/x"), of("ssh://h", false, None, "x/"));
    assert_eq!(place("sftp://u@[::1]:22/x"), of("ssh://[::1]:22", true, Some("u"), "x/"));
    for text in [
        "sftp:",
        "sftp:h",
        "sftp:h:",
        "sftp:h:/",
        "sftp:@h:x",
        "sftp:u@:x",
        "sftp:-oProxyCommand=x:y",
        "sftp:u@-h:x",
        "sftp:-u@h:x",
        "sftp://h",
        "sftp://h:port/x",
        "sftp://h:99999/x",
        "sftp:u v@h:x",
        "sftp:u@h:../x",
    ] {
        assert!(matches!(refused(text), UrlError::Malformed { .. }), "{text}");
    }
}

#[test]
fn folders_on_web_servers() {
    let of = |endpoint: &str, prefix: &str| ("webdav", vec![("endpoint", endpoint.to_owned())], prefix.to_owned());
    assert_eq!(place("webdav:https://h"), of("https://h", ""));
    assert_eq!(place("webdav:https://h/x"), of("https://h", "x/"));
    assert_eq!(place("webdav:https://h:8/dav/u/x/"), of("https://h:8/dav/u", "x/"));
    let user = vec![("endpoint", "http://h".to_owned()), ("username", "u".to_owned())];
    assert_eq!(place("webdav:http://u@h/x"), ("webdav", user, "x/".to_owned()));
    for text in ["webdav:h/x", "webdav:https://", "webdav:https://h/a%20b", "webdav:ftp://h/x"] {
        assert!(matches!(refused(text), UrlError::Malformed { .. }), "{text}");
    }
}

#[test]
fn folders_through_opendal() {
    assert_eq!(place("fs:/mnt/x/"), ("fs", vec![("root", "/".to_owned())], "mnt/x/".to_owned()));
    assert!(matches!(refused("fs:"), UrlError::Malformed { .. }));
}

#[test]
fn unknown_schemes_are_no_folders() {
    for text in ["s4:b", "c:foo", "u@h:/x", "http://h/x", ":x", "redis:x"] {
        let error = refused(text);
        assert!(matches!(error, UrlError::UnknownScheme { .. }), "{text}");
        assert!(error.to_string().contains("s3") && error.to_string().contains("webdav"), "{error}");
    }
    if Service::find("dropbox").is_none() {
        let error = refused("dropbox:x").to_string();
        assert!(error.contains("store-dropbox"), "{error}");
    }
    for text in ["", "~", "~/x", "file:", "file://h/x", "memory:x", "s3:b\n"] {
        refused(text);
    }
}

#[test]
fn secrets_in_urls_are_refused_and_not_repeated() {
    for text in [
        "sftp://u:hunter2@h/x",
        "sftp:u:hunter2@h:x",
        "webdav:https://u:hunter2@h/x",
        "s3:id:hunter2@b/x",
        "s3:https://id:hunter2@h/b",
        "s3://b/x?secret_access_key=hunter2",
        "azblob:https://h/c?sv=1&sig=hunter2",
    ] {
        let error = refused(text);
        assert!(!error.to_string().contains("hunter2") && !format!("{error:?}").contains("hunter2"), "{error}");
        assert!(matches!(&error, UrlError::SecretInUrl { .. } | UrlError::Malformed { .. }), "{text}: {error}");
    }
    let error = refused("webdav:https://u:p@h/x").to_string();
    assert!(error.contains("NIGHTSAFE_STORE_PASSWORD"), "{error}");
}

/// Where users are called by their address of e-mail, its `@` was taken for the one before the host: the password behind it wasn't seen, became a part of the user's name, and stood in
/// messages and logs. Fuzzing found it.
#[test]
fn a_password_behind_a_user_with_an_at_sign_is_seen() {
    for text in
        ["webdav:https://me@example.org:hunter2@h/x", "sftp://me@example.org:hunter2@h/x", "s3:https://a@b:hunter2@h/b"]
    {
        let error = refused(text);
        assert!(matches!(error, UrlError::SecretInUrl { .. }), "{text}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    for text in ["webdav:https://me@example.org@h/x", "sftp:me@h:mail@example:x", "sftp://h/mail@example:x"] {
        assert!(StoreUrl::parse(text).is_ok(), "{text}");
    }
}

/// Once, `//` anywhere in a path was taken for that before a host, so that paths with a colon and an `@` further on were refused as if they held a password.
#[test]
fn a_path_is_no_address() {
    for text in [
        "a//b:c@d",
        "/srv/a//b:c@d?e",
        "file:/srv//b:c@d",
        "fs:/srv//b:c@d",
        "fs:b:c@d/x?y",
        "sftp:u@h:/srv//b:c@d?e",
        "s3:bucket/a//b:c@d",
    ] {
        assert!(StoreUrl::parse(text).is_ok(), "{text}: {:?}", StoreUrl::parse(text).err());
    }
    let sftp = StoreUrl::parse("sftp:u@h:x").unwrap();
    let none = BTreeMap::new();
    assert!(open(&sftp, &options(&[("key", "/home/me//a:b@c?d")]), &none).is_ok(), "nor in an option");
    for text in ["//u:hunter2@h/x", "a+b-c.d://u:hunter2@h", "u:hunter2@h/x", "//h/x?secret_access_key=hunter2"] {
        assert!(super::parse::secret_in_address(text).is_some(), "{text}");
    }
}

#[test]
fn options_are_checked_against_the_service() {
    let s3 = StoreUrl::parse("s3:b").unwrap();
    let none = BTreeMap::new();
    let error = open(&s3, &options(&[("regoin", "x")]), &none).err().unwrap();
    assert!(
        matches!(&error, UrlError::UnknownOption { option, known, .. } if option == "regoin" && known.contains(&"region")),
        "{error}"
    );
    let error = open(&s3, &options(&[("secret_access_key", "x")]), &none).err().unwrap();
    assert!(error.to_string().contains("NIGHTSAFE_STORE_SECRET_ACCESS_KEY"), "{error}");
    let error = open(&s3, &options(&[("endpoint", "https://u:p@h")]), &none).err().unwrap();
    assert!(matches!(error, UrlError::SecretInUrl { .. }), "{error}");
    let error = open(&s3, &options(&[("bucket", "c")]), &none).err().unwrap();
    assert!(matches!(error, UrlError::UnknownOption { .. }), "{error}");
    let folder = StoreUrl::parse("x").unwrap();
    let error = open(&folder, &options(&[("region", "x")]), &none).err().unwrap();
    assert!(matches!(&error, UrlError::UnknownOption { known, .. } if known.is_empty()), "{error}");
    for number in ["0", "257", "many", "-1"] {
        let error = open(&s3, &options(&[("connections", number)]), &none).err().unwrap();
        assert!(matches!(error, UrlError::BadOption { .. }), "{error}");
    }
}

#[test]
fn a_store_is_opened_with_its_options_and_secrets() {
    let url = StoreUrl::parse("s3:https://127.0.0.1:1/b/x").unwrap();
    let secrets = ["access_key_id", "secret_access_key", "password"];
    let secrets = secrets.map(|option| (option.to_owned(), Zeroizing::new("hunter2".to_owned()))).into();
    let store = open(&url, &options(&[("connections", "3")]), &secrets).unwrap();
    assert_eq!((store.url(), store.connections()), ("s3:https://127.0.0.1:1/b/x", 3));
}

proptest! {
    /// Any text is a URL or an error, and a folder is what was written.
    #[test]
    fn no_text_panics(text in "(sftp:|webdav:https://|s3:|fs:|file:|azblob:)?[a-z:/@\\[\\]~.?=& -]{0,24}") {
        if let Ok(url) = StoreUrl::parse(&text) {
            prop_assert_eq!(url.to_string(), text);
        }
    }
}
