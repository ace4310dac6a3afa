//! Packs that can't be understood: their trailers can't be read, whatever a segment says of them.
//!
//! Nothing of them is known to be needed. But what a snapshot needs may be in there and its other copy be garbage that somebody put, so a pack only goes if it's certain that it holds nothing: it is whole by its
//! name, and yet its end is no trailer; or it was condemned before, as a repair does that has looked at each of its frames.

use crate::repo::format::{MAX_OBJECT, key};
use crate::repo::gc::error::GcError;
use crate::repo::gc::plan::DoomedPack;
use crate::repo::id::PackId;
use crate::repo::pack::builder::FRAMES_START;
use crate::repo::pack::parse::{self, PackError, WholePack};
use crate::repo::repository::{Full, Repo};
use crate::repo::store::StoreErrorKind;

/// Those of `packs` that are this repository's and certainly hold nothing. The others stay, and `odd` is told why.
///
/// # Errors
/// [`GcError::Foreign`] if one says that it's another repository's.
pub fn removable(
    repo: &Repo<Full>,
    packs: Vec<DoomedPack>,
    is_condemned: &dyn Fn(&PackId) -> bool,
    odd: &dyn Fn(String),
) -> Result<Vec<DoomedPack>, GcError> {
    let mut removable = Vec::new();
    for pack in packs {
        match look(repo, pack.id, is_condemned(&pack.id))? {
            Look::Empty => removable.push(pack),
            Look::Gone => {}
            Look::Stays(why) => odd(format!("{} stays: {why}", key::pack(pack.id))),
        }
    }
    Ok(removable)
}

/// What came of looking at a pack.
enum Look {
    /// It holds nothing that anybody could need.
    Empty,
    /// There is no such pack any more.
    Gone,
    /// It may, or it isn't known whose it is.
    Stays(String),
}

fn look(repo: &Repo<Full>, pack: PackId, is_condemned: bool) -> Result<Look, GcError> {
    let store_key = key::pack(pack);
    let bytes = match repo.store().get(&store_key, MAX_OBJECT) {
        Ok(bytes) => bytes,
        Err(error) if error.kind == StoreErrorKind::NotFound => return Ok(Look::Gone),
        Err(error) => return Err(error.into()),
    };
    let opening = bytes.get(..FRAMES_START).unwrap_or_default();
    if opening.is_empty() {
        return Ok(Look::Stays("it's shorter than any pack".to_owned()));
    }
    match parse::opening(opening, repo.id(), pack.run) {
        Ok(_) => {}
        // Of another run it may be by a hostile host; of another repository it's a mistake of somebody who must know.
        Err(PackError::Foreign) if opening.get(8..24) != Some(&repo.id().as_bytes()[..]) => {
            return Err(GcError::Foreign { pack });
        }
        Err(why) => return Ok(Look::Stays(format!("{why}, so it can't be told whose it is"))),
    }
    if is_condemned {
        return Ok(Look::Empty);
    }
    Ok(match WholePack::new(pack, &bytes, repo.id()) {
        Ok(whole) => match whole.frames(&repo.read_keys().domain(whole.opening.domain)) {
            Ok(_) => Look::Stays("its end couldn't be read before, and can be now".to_owned()),
            Err(_) => Look::Empty,
        },
        Err(why) => Look::Stays(format!("{why}; `nightsafe repair packs {}` looks into it", pack.hash)),
    })
}
