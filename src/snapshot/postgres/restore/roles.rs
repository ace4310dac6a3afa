//! Roles that a database's objects belong or are granted to: those that the server lacks are made, and no other is touched.

use super::admin::Admin;
use crate::snapshot::manifest::database::Role;
use crate::snapshot::postgres::error::PostgresError;
use crate::snapshot::postgres::quote::identifier;
use serde::Deserialize;

/// Those of `roles` that the server lacks.
pub(super) fn missing<'r>(admin: &mut Admin<'_>, roles: &'r [Role]) -> Result<Vec<&'r Role>, PostgresError> {
    #[derive(Deserialize)]
    struct Row {
        name: String,
    }
    let present: Vec<Row> = admin.query("SELECT rolname AS name FROM pg_roles")?;
    let lacks = |role: &&Role| !role.name.starts_with("pg_") && present.iter().all(|row| row.name != role.name);
    Ok(roles.iter().filter(lacks).collect())
}

/// Makes roles, without passwords; each becomes a member of those of them that it was a member of. All or none.
pub(super) fn create(admin: &mut Admin<'_>, roles: &[Role]) -> Result<(), PostgresError> {
    if roles.is_empty() { Ok(()) } else { admin.execute(&statements(roles)) }
}

fn statements(roles: &[Role]) -> String {
    let mut sql = vec!["BEGIN".to_owned()];
    for role in roles {
        let login = if role.login { "LOGIN" } else { "NOLOGIN" };
        let inherit = if role.inherit { "INHERIT" } else { "NOINHERIT" };
        sql.push(format!("CREATE ROLE {} {login} {inherit}", identifier(&role.name)));
    }
    for role in roles {
        let made = |group: &&String| roles.iter().any(|role| role.name == **group);
        for group in role.member_of.iter().filter(made) {
            sql.push(format!("GRANT {} TO {}", identifier(group), identifier(&role.name)));
        }
    }
    sql.push("COMMIT".to_owned());
    sql.join("; ")
}

/// Drops roles that a failed restore made. One that something depends on by now stays.
pub(super) fn drop(admin: &mut Admin<'_>, roles: &[Role]) {
    for role in roles {
        let _ = admin.execute(&format!("DROP ROLE IF EXISTS {}", identifier(&role.name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memberships_are_granted_among_new_roles_alone() {
        let role = |name: &str, login, member_of: &[&str]| Role {
            name: name.into(),
            login,
            member_of: member_of.iter().map(|group| (*group).to_owned()).collect(),
            inherit: true,
        };
        let roles = [role("app", true, &["postgres", "re\"ad"]), role("re\"ad", false, &[])];
        assert_eq!(
            statements(&roles),
            "BEGIN; CREATE ROLE \"app\" LOGIN INHERIT; CREATE ROLE \"re\"\"ad\" NOLOGIN INHERIT; GRANT \"re\"\"ad\" TO \"app\"; COMMIT"
        );
    }
}
