//! Files that don't fit together: what their entries say, what is stored, and how it's put together. What people read of them.

use super::{Forger, Place};
use nightsafe::snapshot::tree::entry::{Entry, EntryType};
use nightsafe::snapshot::tree::recipe::Recipe;

/// What makes the entry.
type Forge = Box<dyn Fn(&Forger<'_>) -> Entry>;

const TEXT: &[u8] = b"a text that is stored as one chunk";

/// A file that is to be rebuilt by a recipe that is none.
fn unbuildable(forger: &Forger<'_>) -> Entry {
    let hash = |bytes: &[u8]| *blake3::hash(bytes).as_bytes();
    let instructions = b"no recipe, whoever reads it";
    let recipe = Recipe {
        stream_bytes: TEXT.len() as u64,
        stream_hash: hash(TEXT),
        bytes: instructions.len() as u64,
        hash: hash(instructions),
        references: forger.stored(b"recipe", EntryType::File, instructions).references,
        list: None,
        is_whole: false,
    };
    let stream = forger.file(b"evil", TEXT);
    Entry { size: Some(1_000), hash: Some([7; 32]), recipe: Some(recipe), ..stream }
}

#[test]
fn what_does_not_fit_together_is_named_with_its_file() {
    let place = Place::new();
    let more_chunks = |forger: &Forger<'_>| {
        let mut entry = forger.file(b"evil", TEXT);
        entry.references.iter_mut().flatten().for_each(|reference| reference.count = 2);
        entry
    };
    let of_a_folder = |forger: &Forger<'_>| {
        let folder = forger.directory(b"folder", &[forger.file(b"x", TEXT)]);
        Entry { references: folder.references, size: folder.size, hash: folder.hash, ..forger.file(b"evil", TEXT) }
    };
    let other_hash = |forger: &Forger<'_>| Entry { hash: Some([7; 32]), ..forger.file(b"evil", TEXT) };
    let cases: [(&str, Forge); 4] = [
        ("lacks chunks 0 to 1", Box::new(more_chunks)),
        ("holds Meta where Data should be", Box::new(of_a_folder)),
        ("the content doesn't match its hash", Box::new(other_hash)),
        ("it can't be rebuilt: ", Box::new(unbuildable)),
    ];
    for (why, forge) in cases {
        let id = place.forge(|forger| forge(forger));
        let said = place.run(&["dump", &format!("{id}:/data/evil")]);
        assert_eq!(said.code, Some(1), "{why}: {said:?}");
        assert!(said.err.starts_with("error: /data/evil: ") && said.err.contains(why), "{why}: {said:?}");
        assert!(said.err.contains("hint: `nightsafe check`"), "{why}: {said:?}");
        let said = place.restore(&id, &[]);
        assert_eq!(said.code, Some(3), "{why}: {said:?}");
        assert!(said.err.contains("/data/evil: can't be read: ") && said.err.contains(why), "{why}: {said:?}");
        assert!(!place.target().join("evil").exists(), "{why}");
        place.assert_siblings(why);
        place.assert_nothing_outside(why);
        place.forget(&id);
    }
}
