//! What differs between two states of an application.

use crate::snapshot::manifest::application::{Application, Image, Key};
use std::collections::BTreeMap;

/// The version, images and keys that differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApplicationDiff {
    /// The version before and after, if it differs.
    pub version: Option<(Option<String>, Option<String>)>,
    /// Services that run another image: what each ran and runs. Sorted by service.
    pub images: Vec<(String, Option<Image>, Option<Image>)>,
    /// The variables of keys that are only known of the second, sorted.
    pub keys_added: Vec<String>,
    /// The variables of keys that are only known of the first, sorted.
    pub keys_removed: Vec<String>,
    /// The variables of keys with another value, id or use, sorted.
    pub keys_changed: Vec<String>,
}

/// Compares two states; nothing if they are alike.
pub fn compare(before: Option<&Application>, after: Option<&Application>) -> Option<ApplicationDiff> {
    let nothing = Application::default();
    let (before, after) = (before.unwrap_or(&nothing), after.unwrap_or(&nothing));
    let version = (before.version != after.version).then(|| (before.version.clone(), after.version.clone()));
    let images = |of: &Application| -> BTreeMap<String, Image> {
        of.images.iter().map(|image| (image.service.clone(), image.clone())).collect()
    };
    let keys = |of: &Application| -> BTreeMap<String, Key> {
        of.keys.iter().map(|key| (key.variable.clone(), key.clone())).collect()
    };
    let images = pairs(images(before), images(after));
    let mut diff = ApplicationDiff { version, images, ..ApplicationDiff::default() };
    for (variable, before, after) in pairs(keys(before), keys(after)) {
        match (before, after) {
            (None, _) => diff.keys_added.push(variable),
            (_, None) => diff.keys_removed.push(variable),
            _ => diff.keys_changed.push(variable),
        }
    }
    (diff != ApplicationDiff::default()).then_some(diff)
}

/// What stands under each name on either side, unless it is the same.
pub(super) fn pairs<K: Ord + Clone, V: PartialEq>(
    mut before: BTreeMap<K, V>,
    after: BTreeMap<K, V>,
) -> Vec<(K, Option<V>, Option<V>)> {
    let mut found: Vec<_> = after
        .into_iter()
        .map(|(name, value)| {
            let before = before.remove(&name);
            (name, before, Some(value))
        })
        .collect();
    found.extend(before.into_iter().map(|(name, value)| (name, Some(value), None)));
    found.retain(|(_, before, after)| before != after);
    found.sort_by(|(one, ..), (other, ..)| one.cmp(other));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::manifest::application::KeyUse;

    fn application(version: &str, images: &[(&str, &str)], keys: &[(&str, u8)]) -> Application {
        let image = |(service, digest): &(&str, &str)| Image {
            service: (*service).to_owned(),
            image: "wiki:2".to_owned(),
            digest: Some((*digest).to_owned()),
            version: None,
        };
        let key = |(variable, byte): &(&str, u8)| Key {
            variable: (*variable).to_owned(),
            usage: KeyUse::Signs,
            id: None,
            fingerprint: Some([*byte; 16]),
        };
        Application {
            version: Some(version.to_owned()),
            images: images.iter().map(image).collect(),
            keys: keys.iter().map(key).collect(),
        }
    }

    #[test]
    fn what_is_alike_is_nothing() {
        let one = application("1", &[("web", "a")], &[("K", 1)]);
        assert_eq!(compare(Some(&one), Some(&one)), None);
        assert_eq!(compare(None, None), None);
        assert_eq!(compare(None, Some(&Application::default())), None);
    }

    #[test]
    fn versions_images_and_names_of_keys() {
        let before = application("1", &[("db", "x"), ("web", "a")], &[("A", 1), ("B", 1), ("C", 1)]);
        let after = application("2", &[("web", "b"), ("db", "x"), ("worker", "w")], &[("D", 1), ("B", 2), ("A", 1)]);
        let diff = compare(Some(&before), Some(&after)).unwrap();
        assert_eq!(diff.version, Some((Some("1".to_owned()), Some("2".to_owned()))));
        let digests: Vec<_> = diff
            .images
            .iter()
            .map(|(service, before, after)| {
                let digest = |image: &Option<Image>| image.as_ref().and_then(|image| image.digest.clone());
                (service.as_str(), digest(before), digest(after))
            })
            .collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(digests, [("web", some("a"), some("b")), ("worker", None, some("w"))]);
        assert_eq!(
            (diff.keys_added, diff.keys_removed, diff.keys_changed),
            (vec!["D".into()], vec!["C".into()], vec!["B".into()])
        );
        assert_eq!(compare(Some(&before), None).unwrap().keys_removed, ["A", "B", "C"]);
    }
}
