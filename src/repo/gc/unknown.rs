//! Packs that can't be understood: no segment names them, and their trailers can't be read.

use crate::repo::format::key;
use crate::repo::gc::error::GcError;
use crate::repo::gc::plan::DoomedPack;
use crate::repo::pack::builder::FRAMES_START;
use crate::repo::pack::parse::{self, PackError};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::StoreErrorKind;

/// Those of `packs` whose openings show that they are this repository's.
///
/// # Errors
/// [`GcError::Foreign`] if one says that it's another repository's.
pub fn of_this_repository(
    repo: &Repo<Full>,
    packs: Vec<DoomedPack>,
    odd: &dyn Fn(String),
) -> Result<Vec<DoomedPack>, GcError> {
    let mut ours = Vec::new();
    for pack in packs {
        let store_key = key::pack(pack.id);
        let opening = match repo.store().get_range(&store_key, 0, FRAMES_START as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind == StoreErrorKind::NotFound => continue,
            Err(error) if error.kind == StoreErrorKind::Short => {
                odd(format!("{store_key} stays: it's shorter than any pack"));
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        match parse::opening(&opening, repo.id(), pack.id.run) {
            Ok(_) => ours.push(pack),
            // Of another run it may be by a hostile host; of another repository it's a mistake of somebody who must know.
            Err(PackError::Foreign) if opening.get(8..24) != Some(&repo.id().as_bytes()[..]) => {
                return Err(GcError::Foreign { pack: pack.id });
            }
            Err(why) => odd(format!("{store_key} stays: {why}, so it can't be told whose it is")),
        }
    }
    Ok(ours)
}
