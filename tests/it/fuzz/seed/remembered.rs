//! Files that a host keeps for itself, without their checksums.

use super::put;
use nightsafe::chunker::expand::{Proven, Trusted};
use nightsafe::repo::cbor::{self, Time};
use nightsafe::repo::id::{PackHash, PackId, RepositoryId, RunId};
use nightsafe::repo::witness::{Known, Remembered};
use nightsafe::snapshot::history::{Kept, OwnManifest};
use nightsafe::snapshot::manifest::State;
use nightsafe::snapshot::proofs::Proofs;
use std::path::Path;

const DAY: u16 = 20_000;

pub(super) fn write() {
    let run = |n: u8| RunId::from_bytes([n; 20]);
    let known = |n: u8, snapshots: Vec<RunId>| Known { repository: RepositoryId::from_bytes([n; 16]), snapshots };
    for known in [vec![], vec![known(1, vec![run(1), run(2)])], vec![known(2, vec![]), known(1, vec![run(3)])]] {
        put("remembered", &[&[0], &cbor::encode(&Remembered { url: "/mnt/x".into(), known })[..]].concat());
    }
    let manifest = |n: u8, app: Option<&str>| OwnManifest {
        run: run(n),
        sequence: n.into(),
        hash: [n; 32],
        time: Time { seconds: 1_700_000_000, nanoseconds: 5 },
        host: "host".into(),
        app: app.map(str::to_owned),
        state: if n == 1 { State::Complete } else { State::Incomplete },
        files: 7,
        bytes: 1 << 40,
        checkpoint_of: (n == 2).then_some(run(1)),
    };
    let reach = vec![PackId { run: run(4), hash: PackHash::from_bytes([4; 32]) }];
    let whole = Kept { manifests: vec![manifest(1, Some("app")), manifest(2, None)], reach };
    for kept in [Kept::default(), whole] {
        put("remembered", &[&[1], &cbor::encode(&kept)[..]].concat());
    }
    let mut proofs = Proofs::empty(Path::new("/nowhere"), &[0; 32], i64::from(DAY) * 86_400);
    for n in 1..4 {
        // A level of zlib's.
        let proven = Proven::from_bytes([16, n, 0, 0, 0, 0, 0, 0, 0, n % 2]).expect("one that this program can make");
        proofs.insert(Trusted { hash: [n; 32], proven });
    }
    let file = proofs.encode();
    let rows = &file[8..file.len() - 32];
    for rows in [rows, &rows[..46], &rows[..40]] {
        put("remembered", &[&[2][..], &DAY.to_le_bytes(), rows].concat());
    }
}
