//! What is shown can be read again, whatever it says; and no text makes the reader panic.

use super::{again, said};
use crate::cli::config::*;
use crate::snapshot::source::excludes::{ExcludeOptions, Excludes};
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    // Whatever a text may hold, in keys and values: quotes, backslashes, letters of all kinds.
    "[^\\p{Cc}\\s][^\\p{Cc}]{0,12}".prop_map(|text| text.replace("://", ""))
}

/// One that a backup can use: others are problems of a configuration.
fn pattern() -> impl Strategy<Value = String> {
    text().prop_filter("a pattern", |pattern| {
        let options = ExcludeOptions { patterns: vec![pattern.clone()], ..ExcludeOptions::default() };
        Excludes::compile(&options).is_ok()
    })
}

fn secret_from() -> impl Strategy<Value = SecretFrom> {
    prop_oneof![
        "[a-z0-9.-]{1,9}[a-z]".prop_map(SecretFrom::Credential),
        "/[a-z \"]{1,9}[a-z]".prop_map(|path| SecretFrom::File(path.into())),
        "[A-Z_]{1,9}".prop_map(SecretFrom::Env),
        text().prop_map(SecretFrom::Command),
    ]
}

fn reach() -> impl Strategy<Value = Reach> {
    prop_oneof![
        text().prop_map(|service| Reach::Service { service }),
        prop::collection::vec(text(), 1..4).prop_map(|exec| Reach::Exec { exec }),
        "[a-z]{1,9}".prop_map(|name| Reach::Url { url: format!("postgresql://me@{name}/x") }),
        (prop::option::of(text()), prop::option::of(1..=u16::MAX))
            .prop_map(|(host, port)| Reach::Server { host, port }),
    ]
}

prop_compose! {
    fn postgres()(
        reach in reach(),
        user in prop::option::of(text()),
        databases in prop::option::of(prop_oneof![
            Just(Databases::All), prop::collection::vec(text(), 1..3).prop_map(Databases::Named)
        ]),
        password in prop::option::of(secret_from()),
        schemas in prop::collection::vec(text(), 0..3),
        globals in any::<bool>(),
        keys_in_use in prop::option::of(text()),
    ) -> SourceKind {
        SourceKind::Postgres(PostgresSource {
            reach, user, databases, password, schemas, globals, keys_in_use,
            exclude_table_data: vec![], args: vec![],
        })
    }
}

prop_compose! {
    fn files()(
        names in prop::collection::btree_set("[a-z \"'#]{1,8}[a-z]", 1..4),
        exclude in prop::collection::vec(pattern(), 0..3),
        exclude_larger_than in prop::option::of(0..=i64::MAX as u64),
        (one_file_system, expand) in any::<(bool, bool)>(),
        references in prop::option::of(text()),
    ) -> SourceKind {
        let paths = names.into_iter().map(|name| format!("/srv/{name}").into()).collect();
        let (secret, sidecar) = (vec![], None);
        SourceKind::Files(FilesSource { paths, exclude, exclude_larger_than, one_file_system, expand, secret, references, sidecar })
    }
}

prop_compose! {
    fn config()(
        timezone in prop::option::of(Just("Europe/Berlin".to_owned())),
        repositories in prop::collection::btree_map("[a-z0-9_]{1,8}", (secret_from(), text(), text()), 0..3),
        apps in prop::collection::btree_map("[a-z0-9_-]{1,8}[a-z]".prop_filter("a name", |name| !name.starts_with('-')),
            prop::collection::btree_map("[^\\p{Cc}/.]{1,6}", prop_oneof![files(), postgres()], 1..4), 0..3),
        stop in prop::option::of(text()),
        schedule in prop::option::of(prop_oneof![Just("@daily"), Just("*/5 1-3,7 1 jan mon")]),
    ) -> Config {
        let mut config = Config { timezone, ..Config::default() };
        for (name, (password, option, value)) in repositories {
            let secret_options = [("token".to_owned(), password.clone())].into();
            let options = [(option.clone() + "x", value)].into();
            let url = format!("s3:{name}");
            config.repositories.insert(name.clone(), RepositoryConfig { name, url, options, secret_options, password: Some(password) });
        }
        let names: Vec<_> = config.repositories.keys().cloned().collect();
        for (name, sources) in apps {
            let sources = sources.into_iter().map(|(name, kind)| SourceConfig { name, kind }).collect();
            let app = AppConfig {
                name: name.clone(),
                compose: vec!["/opt/x/compose.yml".into()],
                engine: Some(engine::Engine::Podman),
                repositories: names.clone(),
                schedule: schedule.map(|text| text.parse().unwrap()),
                keep: model::Keep { daily: Some(7), within: "3d".parse().ok(), ..model::Keep::default() },
                consistency: stop.clone().map_or(model::Consistency::Pause, |service| model::Consistency::Stop { services: vec![service], at_most: None }),
                max_age: None,
                rehearse: None,
                sources,
                ignore: [("a \"b\"".to_owned(), "why".to_owned())].into(),
                keys: Keys { decrypts: vec![KeyName::File("/k".into())], ..Keys::default() },
                version: Some(VersionFrom::Command("x --version".to_owned())),
                verify: model::Verify::default(),
            };
            config.apps.insert(name, app);
        }
        config
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_shown_is_the_configuration(config in config()) {
        prop_assert_eq!(again(&config), config);
    }

    #[test]
    fn no_text_makes_it_panic(text in ".{0,300}") {
        said(&text);
    }

    #[test]
    fn nothing_that_looks_like_a_configuration_makes_it_panic(
        lines in prop::collection::vec("(\\[(app|repository)\\.(a|b)(\\.(source|keys|keep))?(\\.c)?\\]|(kind|path|url|password|schedule|keep|source|compose) = (1|\"x\"|\\[\\]|\\{\\}|\\{ a = 1 \\}|true|1979-05-27|1\\.5))", 0..12),
    ) {
        said(&lines.join("\n"));
    }
}
