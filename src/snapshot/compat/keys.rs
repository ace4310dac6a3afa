//! Whether the keys that a snapshot's data needs are where it is to go. Compared by fingerprints: no value leaves this file.

use super::{Finding, Stored, Subject, Weight};
use crate::snapshot::application::fingerprint;
use crate::snapshot::manifest::application::{Key, KeyUse};
use crate::snapshot::source::variables::values::Variables;

/// Where a key was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// In its variable.
    Same,
    /// In another variable, or as a part of a list of keys.
    Elsewhere(String),
    /// Nowhere; its variable holds something else.
    Differs,
    /// Nowhere; its variable isn't set.
    Unset,
    /// In a file of its own, which isn't looked at.
    File,
}

/// Looks for the value that a key had.
fn find(key: &Key, wanted: [u8; 16], variables: &Variables, secret: &[u8; 32]) -> Place {
    let is = |value: &[u8]| fingerprint(secret, value) == wanted;
    if key.variable.contains('/') {
        return Place::File;
    }
    let own = variables.get(&key.variable);
    if own.is_some_and(is) {
        return Place::Same;
    }
    // A rotated key moves into a list such as PREVIOUS_KEYS=1:abc,2:def.
    let holds = |value: &[u8]| is(value) || value.split(|b| *b == b',').any(|part| is_part(part.trim_ascii(), &is));
    match variables.iter().find(|(_, value)| holds(value)) {
        Some((name, _)) if name == key.variable => Place::Same,
        Some((name, _)) => Place::Elsewhere(name.to_owned()),
        None if own.is_some() => Place::Differs,
        None => Place::Unset,
    }
}

fn is_part(part: &[u8], is: &impl Fn(&[u8]) -> bool) -> bool {
    is(part) || part.iter().position(|b| *b == b':').is_some_and(|at| is(&part[at + 1..]))
}

/// Whether the data may need a key.
fn is_needed(key: &Key, in_use: Option<&[String]>) -> bool {
    match (&key.id, in_use) {
        (Some(id), Some(in_use)) => in_use.contains(id),
        _ => true,
    }
}

/// Compares the keys of a snapshot with the environment that the application will have.
pub(super) fn compare(stored: Stored<'_>, environment: Option<(&Variables, &[u8; 32])>) -> Vec<Finding> {
    let in_use = stored.keys_in_use;
    let keys = stored.application.map(|application| application.keys.as_slice()).unwrap_or_default();
    let set: Vec<_> = keys.iter().filter_map(|key| Some((key, key.fingerprint?))).collect();
    let Some((variables, secret)) = environment else {
        return not_compared(&set).into_iter().collect();
    };
    let mut findings: Vec<Finding> = unknown(keys, in_use).into_iter().collect();
    for (key, wanted) in set {
        let place = find(key, wanted, variables, secret);
        if let Some((weight, text)) = judge(key, &place, is_needed(key, in_use)) {
            findings.push(Finding::new(Subject::Keys, weight, text));
        }
    }
    findings
}

fn judge(key: &Key, place: &Place, needed: bool) -> Option<(Weight, String)> {
    let variable = &key.variable;
    let id = key.id.as_ref().map_or_else(String::new, |id| format!(" (id {id})"));
    let problem = match place {
        Place::Same => return None,
        Place::File => {
            return Some((
                Weight::Warning,
                format!("the key in {variable} isn't compared: look whether it's the same"),
            ));
        }
        Place::Elsewhere(other) if key.id.is_some() => {
            return Some((Weight::Note, format!("the key {variable}{id} is now in {other}")));
        }
        Place::Elsewhere(other) => format!("differs from the snapshot's, which is in {other}"),
        Place::Differs => "differs from the snapshot's".to_owned(),
        Place::Unset => "isn't set".to_owned(),
    };
    Some(match (key.usage, needed) {
        (KeyUse::Decrypts, true) => {
            (Weight::Refused, format!("the key {variable}{id} {problem}: data can't be decrypted without it"))
        }
        (KeyUse::Decrypts, false) => (Weight::Note, format!("the key {variable}{id} {problem}; no data uses it")),
        (KeyUse::Signs, _) => {
            (Weight::Warning, format!("the key {variable}{id} {problem}: sessions and links become invalid"))
        }
    })
}

/// Ids that the data uses and the snapshot has no key for.
fn unknown(keys: &[Key], in_use: Option<&[String]>) -> Option<Finding> {
    let known = |id: &&String| keys.iter().any(|key| key.id.as_ref() == Some(id));
    let ids: Vec<_> = in_use.unwrap_or_default().iter().filter(|id| !known(id)).map(String::as_str).collect();
    (!ids.is_empty()).then(|| {
        let text = format!(
            "the data uses keys with the ids {}, which the application's environment didn't name when the snapshot was made: look whether they are there",
            ids.join(", ")
        );
        Finding::new(Subject::Keys, Weight::Warning, text)
    })
}

fn not_compared(set: &[(&Key, [u8; 16])]) -> Option<Finding> {
    let names: Vec<_> =
        set.iter().filter(|(key, _)| key.usage == KeyUse::Decrypts).map(|(key, _)| key.variable.as_str()).collect();
    (!names.is_empty()).then(|| {
        let text = format!(
            "data can't be decrypted without {}: not compared, because no --env FILE was given",
            names.join(", ")
        );
        Finding::new(Subject::Keys, Weight::Warning, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::compat::{Overrides, Target, compare};
    use crate::snapshot::manifest::application::Application;

    const SECRET: [u8; 32] = [7; 32];

    fn key(variable: &str, usage: KeyUse, id: Option<&str>, value: &str) -> Key {
        let fingerprint = (!value.is_empty()).then(|| fingerprint(&SECRET, value.as_bytes()));
        Key { variable: variable.into(), usage, id: id.map(Into::into), fingerprint }
    }

    fn weights(keys: Vec<Key>, in_use: Option<&[&str]>, file: &str) -> Vec<Weight> {
        let application = Application { keys, ..Application::default() };
        let in_use: Option<Vec<String>> = in_use.map(|ids| ids.iter().map(|id| (*id).to_owned()).collect());
        let stored = Stored { keys_in_use: in_use.as_deref(), application: Some(&application), ..Stored::default() };
        let variables = Variables::parse(file.as_bytes());
        let target = Target { environment: Some((&variables, &SECRET)), ..Target::default() };
        let overrides = Overrides { keys: true, ..Overrides::default() };
        compare(stored, &target, overrides).unwrap().findings().iter().map(|finding| finding.weight).collect()
    }

    #[test]
    fn a_key_that_decrypts_must_be_the_same() {
        let keys = || vec![key("MFA_KEY", KeyUse::Decrypts, None, "abc")];
        assert_eq!(weights(keys(), None, "MFA_KEY='abc' # the same"), []);
        assert_eq!(weights(keys(), None, "MFA_KEY=abd"), [Weight::Refused]);
        assert_eq!(weights(keys(), None, "OTHER=x"), [Weight::Refused]);
        assert_eq!(weights(keys(), None, "MFA_KEY="), [Weight::Refused]);
        assert_eq!(weights(keys(), None, "OTHER=abc"), [Weight::Refused], "the application doesn't look there");
        assert_eq!(
            weights(vec![key("MFA_KEY", KeyUse::Decrypts, None, "")], None, ""),
            [],
            "it wasn't set before either"
        );
    }

    #[test]
    fn a_key_that_signs_is_warned_of() {
        let keys = || vec![key("JWT", KeyUse::Signs, None, "abc")];
        assert_eq!(weights(keys(), None, "JWT=abc"), []);
        assert_eq!(weights(keys(), None, "JWT=x"), [Weight::Warning]);
        assert_eq!(weights(keys(), None, ""), [Weight::Warning]);
    }

    #[test]
    fn of_keys_with_ids_those_that_the_data_uses_are_needed() {
        let keys =
            || vec![key("K1", KeyUse::Decrypts, Some("1"), "one"), key("K2", KeyUse::Decrypts, Some("2"), "two")];
        assert_eq!(weights(keys(), None, "K1=one\nK2=two"), []);
        assert_eq!(weights(keys(), None, "K2=two"), [Weight::Refused]);
        assert_eq!(weights(keys(), Some(&["2"]), "K2=two"), [Weight::Note], "no data uses the first");
        assert_eq!(weights(keys(), Some(&["1", "2"]), "K2=two"), [Weight::Refused]);
        assert_eq!(weights(keys(), Some(&["1", "2"]), "K2=two\nPREVIOUS=0:zero, 1:one"), [Weight::Note], "rotated");
        assert_eq!(weights(keys(), Some(&["1", "3"]), "K1=one\nK2=two"), [Weight::Warning], "the third isn't known");
    }

    #[test]
    fn without_an_environment_it_is_said_that_nothing_was_compared() {
        let keys = vec![key("A", KeyUse::Decrypts, None, "x"), key("B", KeyUse::Signs, None, "x")];
        let application = Application { keys, ..Application::default() };
        let stored = Stored { application: Some(&application), ..Stored::default() };
        let approved = compare(stored, &Target::default(), Overrides::default()).unwrap();
        assert_eq!(approved.findings().len(), 1);
        assert!(approved.findings()[0].text.contains("without A:"));
        assert_eq!(approved.findings()[0].weight, Weight::Warning);
    }
}
