//! The two parts of a manifest, opened, and labels of credentials.

use super::input::{Input, assert_spelling};
use super::memory;
use super::names::assert_safe;
use minicbor::{Decode, Encode};
use nightsafe::repo::cbor;
use nightsafe::repo::keys::Label;
use nightsafe::repo::needs;
use nightsafe::snapshot::manifest::{Manifest, OpenPart, SealedPart};
use nightsafe::snapshot::tree::problem::ProblemKind;

pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => drop(exactly::<OpenPart>(input.rest())),
        1 => drop(exactly::<Label>(input.rest())),
        2 => drop(sealed(input.rest())),
        _ => {
            let (open, rest) = {
                let n = usize::from(input.word());
                (input.bytes(n), input.rest())
            };
            if let (Some(open), Some(sealed)) = (exactly::<OpenPart>(open), sealed(rest)) {
                let databases = sealed.databases.clone().unwrap_or_default();
                let manifest = memory::at_most(memory::for_records(data), || Manifest::join(open, sealed));
                assert_eq!(manifest.databases, databases);
            }
        }
    }
}

fn decoded<T: for<'b> Decode<'b, ()> + Encode<()> + PartialEq + std::fmt::Debug>(body: &[u8]) -> Option<(T, Vec<u8>)> {
    let part: T = memory::at_most(memory::for_records(body), || needs::decode("part", body)).ok()?;
    let written = cbor::encode(&part);
    assert_eq!(needs::decode::<T>("part", &written).as_ref(), Ok(&part));
    Some((part, written))
}

fn exactly<T: for<'b> Decode<'b, ()> + Encode<()> + PartialEq + std::fmt::Debug>(body: &[u8]) -> Option<T> {
    let (part, written) = decoded(body)?;
    assert_spelling(body, &written);
    Some(part)
}

fn sealed(body: &[u8]) -> Option<SealedPart> {
    let (part, written) = decoded::<SealedPart>(body)?;
    // Kinds that aren't known are taken for 0.
    if part.problems.iter().all(|problem| problem.kind != ProblemKind::Other) {
        assert_spelling(body, &written);
    }
    let problems = part.problems.iter().map(|problem| &problem.path);
    let databases = part.databases.iter().flatten().map(|database| &database.dump);
    problems.chain(part.secrets.iter().map(|secret| &secret.path)).chain(databases).for_each(assert_safe);
    if part.root.check_top().is_ok() {
        assert!(part.root.name.is_empty());
    }
    let _ = part.databases.iter().flatten().map(nightsafe::snapshot::manifest::database::Database::rows).max();
    Some(part)
}
