//! Making the new database: with the encoding and locale that the old one had.

use super::admin::Admin;
use super::error::DatabaseError;
use crate::snapshot::manifest::database::Database;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::facts::Properties;
use crate::snapshot::postgres::programs::Version;
use crate::snapshot::postgres::quote::{identifier, literal};

/// How a database sorts and which characters it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Locale {
    encoding: String,
    collation: String,
    character_type: String,
    /// `c`, `i` or `b`.
    provider: String,
    /// Of a provider that isn't the C library.
    name: Option<String>,
}

impl Locale {
    /// That of a captured database.
    pub(super) fn of_stored(database: &Database) -> Self {
        Self {
            encoding: database.encoding.clone(),
            collation: database.collation.clone(),
            character_type: database.character_type.clone(),
            provider: database.locale_provider.clone().unwrap_or_else(|| "c".into()),
            name: database.icu_locale.clone(),
        }
    }

    /// That of an existing one.
    pub(super) fn of_existing(properties: &Properties) -> Self {
        Self {
            encoding: properties.encoding.clone(),
            collation: properties.collation.clone(),
            character_type: properties.character_type.clone(),
            provider: properties.locale_provider.clone(),
            name: properties.locale.clone(),
        }
    }

    /// For people.
    pub(super) fn describe(&self) -> String {
        let name = self.name.as_ref().map(|name| format!(", locale {name}")).unwrap_or_default();
        format!("encoding {}, collation {}{name}", self.encoding, self.collation)
    }

    /// The options of CREATE DATABASE; nothing if this server has no such provider.
    fn options(&self, server: Version) -> Option<String> {
        let provider = match (self.provider.as_str(), server.major()) {
            ("c", ..15) => String::new(),
            ("c", _) => " LOCALE_PROVIDER libc".to_owned(),
            ("i", 15..) => format!(" LOCALE_PROVIDER icu ICU_LOCALE {}", literal(self.name.as_deref()?)),
            ("b", 17..) => format!(" LOCALE_PROVIDER builtin BUILTIN_LOCALE {}", literal(self.name.as_deref()?)),
            _ => return None,
        };
        Some(format!(
            " ENCODING {} LC_COLLATE {} LC_CTYPE {}{provider}",
            literal(&self.encoding),
            literal(&self.collation),
            literal(&self.character_type)
        ))
    }
}

/// Makes a database. Without a locale it gets the server's own.
pub(super) fn create(
    admin: &mut Admin<'_>,
    name: &str,
    locale: Option<&Locale>,
    owner: Option<&str>,
) -> Result<(), DatabaseError> {
    let unknown = |said: String| {
        let wanted = locale.map(Locale::describe).unwrap_or_default();
        DatabaseError::Locale { wanted, said }
    };
    let options = match locale {
        None => String::new(),
        Some(locale) => {
            let missing = || unknown("it is too old for this provider of locales".to_owned());
            locale.options(admin.version()).ok_or_else(missing)?
        }
    };
    let owner = owner.map(|owner| format!(" OWNER {}", identifier(owner))).unwrap_or_default();
    let sql = format!("CREATE DATABASE {} TEMPLATE template0{owner}{options}", identifier(name));
    match admin.execute(&sql) {
        Ok(()) => Ok(()),
        // 42809 and 22023: what CREATE DATABASE says of a locale that it doesn't know, or that doesn't fit the encoding.
        Err(PostgresError::Statement { sqlstate: Some(state), said, .. })
            if locale.is_some() && ["42809", "22023", "42704", "0A000"].contains(&state.as_str()) =>
        {
            Err(unknown(said))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the server may have made the database: it did, or the session ended before it said. If it refused, what has this name isn't ours.
pub(super) fn may_exist(created: &Result<(), DatabaseError>) -> bool {
    !matches!(created, Err(DatabaseError::Locale { .. } | DatabaseError::Postgres(PostgresError::Statement { .. })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_refused_to_make_is_not_ours_to_drop() {
        // Cleaning up dropped by name, whatever had ended the attempt: when CREATE DATABASE failed because a database that was kept had this name already, that one was dropped.
        let (server, said) = (String::from("s"), String::from("already exists"));
        let taken = PostgresError::Statement { server: server.clone(), sqlstate: Some("42P04".into()), said };
        assert!(!may_exist(&Err(taken.into())));
        assert!(!may_exist(&Err(DatabaseError::Locale { wanted: String::new(), said: String::new() })));
        assert!(may_exist(&Ok(())));
        assert!(may_exist(&Err(PostgresError::Lost { server, said: String::new() }.into())), "it may still be made");
    }

    #[test]
    fn options_fit_the_servers_version() {
        let mut locale = Locale {
            encoding: "UTF8".into(),
            collation: "de_DE.utf8".into(),
            character_type: "it's".into(),
            provider: "c".into(),
            name: None,
        };
        let plain = " ENCODING 'UTF8' LC_COLLATE 'de_DE.utf8' LC_CTYPE 'it''s'";
        assert_eq!(locale.options(Version(140_001)).unwrap(), plain);
        assert_eq!(locale.options(Version(150_001)).unwrap(), format!("{plain} LOCALE_PROVIDER libc"));
        locale.provider = "i".into();
        assert_eq!(locale.options(Version(150_001)), None, "no name");
        locale.name = Some("de-x-y".into());
        assert_eq!(
            locale.options(Version(150_001)).unwrap(),
            format!("{plain} LOCALE_PROVIDER icu ICU_LOCALE 'de-x-y'")
        );
        assert_eq!(locale.options(Version(140_001)), None);
        locale.provider = "b".into();
        assert_eq!(locale.options(Version(160_001)), None);
        assert!(locale.options(Version(170_001)).unwrap().ends_with("builtin BUILTIN_LOCALE 'de-x-y'"));
    }
}
