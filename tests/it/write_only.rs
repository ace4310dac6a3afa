//! A credential that may only write backs up and deduplicates, and can't read anything back.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::binary::Scene;
use crate::world::{World, kdf, label, noise, portrait};
use nightsafe::repo::format::{Class, key};
use nightsafe::repo::id::{CredentialId, PackId};
use nightsafe::repo::keys::{KeyFile, Opened, RunKey, Secret, Sharing, ring};
use nightsafe::repo::pack::frame::{self, Zstd};
use nightsafe::repo::pack::parse::WholePack;
use nightsafe::repo::record::{self, Condemned, Stop};
use nightsafe::repo::repository::{AnyRepo, CacheDir, Repo, WriteOnly, open};
use nightsafe::repo::seal::{SealKey, open_salted};
use nightsafe::repo::store::Store;
use nightsafe::snapshot::backup::{BackupSummary, backup};
use nightsafe::snapshot::monitor::Silent;

/// A host that holds a write-only credential.
pub(crate) struct Host {
    secret: Secret,
    pub(crate) credential: CredentialId,
}

impl Host {
    pub(crate) fn new(world: &World, sharing: Sharing) -> Self {
        let secret = Secret::KeyFile(KeyFile::generate());
        let repo = world.repo();
        let bundle = repo.read_keys().new_write_only(sharing);
        let credential = ring::add(&*world.store, repo.read_keys(), &bundle, &secret, kdf(), &label()).unwrap();
        Self { secret, credential }
    }

    pub(crate) fn repo(&self, world: &World) -> Repo<WriteOnly> {
        let cache = CacheDir::new(world.cache().join(self.credential.to_string()));
        match open(world.store.clone(), &self.secret, &cache).unwrap() {
            AnyRepo::WriteOnly(repo) => repo,
            AnyRepo::Full(_) => panic!("a write-only credential opened as a full one"),
        }
    }

    pub(crate) fn back_up(&self, world: &World) -> BackupSummary {
        backup(&self.repo(world), &world.options(), &Silent::default()).unwrap()
    }
}

fn packs(world: &World) -> Vec<PackId> {
    world.objects("packs/").keys().filter_map(|key| key::parse_pack(key)).collect()
}

fn populated() -> World {
    let world = World::new();
    world.write("large", noise(1_500_000));
    world.write("folder/small", noise(3_000));
    world.write(".env", "PASSWORD=hush\n");
    world
}

#[test]
fn it_backs_up_deduplicates_and_a_full_credential_restores() {
    let world = populated();
    let host = Host::new(&world, Sharing::Alone);
    let first = host.back_up(&world);
    assert!(first.statistics.raw_added > 1_500_000);
    // Without its caches too: trailers of its own domain are what it reads again.
    for cached in [true, false] {
        if !cached {
            std::fs::remove_dir_all(world.cache()).unwrap();
        }
        let before = packs(&world);
        let again = host.back_up(&world);
        let added: Vec<PackId> = packs(&world).into_iter().filter(|pack| !before.contains(pack)).collect();
        let repo = world.repo();
        for pack in added {
            let bytes = world.bytes(&key::pack(pack));
            let whole = WholePack::new(pack, &bytes, repo.id()).unwrap();
            let frames = whole.frames(&repo.read_keys().domain(whole.opening.domain)).unwrap();
            assert!(frames.iter().all(|frame| frame.table.class != Class::Data), "data was stored again");
        }
        let s = again.statistics;
        assert!(s.raw_added < 10_000, "only what is secret, and the directories that name it: {s:?}");
        assert_eq!(world.restored(again.snapshot.unwrap()), portrait(&world.source()));
    }
    assert_eq!(world.restored(first.snapshot.unwrap()), portrait(&world.source()));
}

#[test]
fn it_does_not_deduplicate_against_other_domains() {
    let world = populated();
    let full = world.back_up();
    let [one, other] = [(); 2].map(|()| Host::new(&world, Sharing::Alone));
    let domains = [
        one.repo(&world).keys().domain().id(),
        other.repo(&world).keys().domain().id(),
        world.repo().keys().domain().id(),
    ];
    assert!(domains[0] != domains[1] && domains[1] != domains[2] && domains[0] != domains[2]);
    for host in [&one, &other] {
        let summary = host.back_up(&world);
        // All of the data; directories take a little more or less, since their own times differ.
        assert!(summary.statistics.raw_added * 20 >= full.statistics.raw_added * 19, "{:?}", summary.statistics);
        assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
    }
    // Unless it was asked to share.
    let sharing = Host::new(&world, Sharing::With(domains[0]));
    let summary = sharing.back_up(&world);
    assert!(summary.statistics.raw_added < 10_000, "{:?}", summary.statistics);
    assert_eq!(world.restored(summary.snapshot.unwrap()), portrait(&world.source()));
}

#[test]
fn it_opens_no_frame_whichever_of_its_keys_is_tried() {
    let world = populated();
    let host = Host::new(&world, Sharing::Alone);
    host.back_up(&world);
    world.back_up();
    let (repo, full) = (host.repo(&world), world.repo());
    let keys = repo.keys();
    // All 32-byte secrets that the credential holds or can derive, as run keys. (The types have nothing else to offer: see the
    // example in `repo::keys` that must not compile.)
    let credential = world.bytes(&key::credential(host.credential));
    let Opened::WriteOnly(opened) =
        nightsafe::repo::keys::Credential::parse(host.credential, &credential).unwrap().open(&host.secret).unwrap()
    else {
        panic!("not write-only")
    };
    let mut tried: Vec<SealKey> = Vec::new();
    let mut try_key = |bytes: &[u8; 32]| tried.push(SealKey::from_bytes(*bytes));
    for keys in [&**keys, &opened] {
        try_key(keys.domain().index().as_bytes());
        try_key(keys.domain().gear());
        try_key(nightsafe::repo::keys::bundle::Access::common(keys).as_bytes());
        try_key(keys.certificate().as_bytes()[33..65].try_into().unwrap());
    }
    try_key(&[0; 32]);
    let mut zstd = Zstd::new().unwrap();
    let (mut frames, mut own) = (0, 0);
    for pack in packs(&world) {
        let bytes = world.bytes(&key::pack(pack));
        let whole = WholePack::new(pack, &bytes, full.id()).unwrap();
        let domain = full.read_keys().domain(whole.opening.domain);
        let right = full.read_keys().unwrap_run_key(&whole.opening.wrap, pack.run).unwrap();
        // Nor does wrapping anew, which it can do, give back the key that was drawn.
        let drawn = RunKey::generate();
        assert_ne!(repo.keys().wrap(&drawn, pack.run).as_bytes(), whole.opening.wrap.as_bytes());
        for entry in whole.frames(&domain).unwrap() {
            let sealed = whole.frame(&entry).unwrap();
            let class = entry.table.class;
            let aad = [&[1][..], full.id().as_bytes(), pack.run.as_bytes(), &[class.code()]].concat();
            let with = |key: &SealKey| open_salted(key, b"frame", &[&aad], sealed);
            assert!(with(right.seal_key()).is_ok(), "else this test proves nothing");
            assert!(tried.iter().chain([drawn.seal_key()]).all(|key| with(key).is_err()));
            let run_key = (full.id(), pack.run, &drawn);
            assert!(frame::open(sealed, entry.id, class, run_key, repo.keys().domain().ids(), &mut zstd).is_err());
            frames += 1;
            own += usize::from(pack.run.belongs_to(host.credential));
        }
    }
    assert!(frames > own && own >= 3, "{own} of {frames}");
}

#[test]
fn it_can_neither_condemn_nor_stop() {
    let world = populated();
    let host = Host::new(&world, Sharing::Alone);
    host.back_up(&world);
    let repo = host.repo(&world);
    // The most it can do: sign the right bytes for the right name with its own key.
    let forge = |key: &str, honest: &[u8]| {
        let unsigned = &honest[..honest.len() - nightsafe::repo::keys::sign::ADMIN_BLOCK_LEN];
        repo.keys().sign_object(key, unsigned.to_vec())
    };
    let needs = nightsafe::repo::needs::Needs::NONE;
    let time = label().created;
    let full = world.repo();
    let gc = format!("{}{}", key::GC, repo.keys().new_run());
    let honest = record::seal_admin_record(
        full.read_keys(),
        &gc,
        &Condemned { needs: needs.clone(), time, condemned: packs(&world), kept: vec![], census: vec![] },
    );
    let forged = forge(&gc, &honest);
    assert!(record::open_record::<Condemned>(full.read_keys(), &gc, &honest).is_ok());
    assert!(record::open_record::<Condemned>(full.read_keys(), &gc, &forged).is_err());
    world.store.put(&gc, &forged.into()).unwrap();
    assert!(host.back_up(&world).statistics.raw_added < 10_000, "nothing is condemned");
    let stop = key::stop(repo.keys().new_run());
    let honest = record::seal_admin_record(full.read_keys(), &stop, &Stop { needs, time });
    let forged = forge(&stop, &honest);
    assert!(record::open_record::<Stop>(full.read_keys(), &stop, &forged).is_err());
}

/// The same with the program: what it refuses, it refuses before it does anything, and says what to do.
#[test]
fn a_host_with_such_a_key_backs_up_and_nothing_else() {
    let scene = Scene::new();
    std::fs::write(scene.at("source/file"), noise(200_000)).unwrap();
    let host_key = scene.at("host-key");
    let host_key = host_key.to_str().unwrap();
    let said = scene.run(["key", "add", "--write-only", "--label", "web1", "--generate-key", host_key]);
    assert_eq!(said.code, Some(0), "{said:?}");
    let roles = scene.run(["key", "list", "--json"]).json();
    let roles: Vec<_> = roles.as_array().unwrap().iter().map(|key| (&key["label"], &key["role"])).collect();
    assert!(roles.contains(&(&"web1".into(), &"write-only".into())) && roles.len() == 2, "{roles:?}");

    let as_host = |arguments: &[&str]| -> crate::binary::Said {
        scene.command(arguments.iter().copied()).env("NIGHTSAFE_KEY_FILE", host_key).output().unwrap().into()
    };
    let source = scene.at("source");
    let backup = ["backup", "--as", "data", "--tag", "nightly", source.to_str().unwrap()];
    let first = as_host(&backup);
    assert_eq!(first.code, Some(0), "{first:?}");
    let stored: u64 = scene.packs().values().sum();
    assert_eq!(as_host(&backup).code, Some(0));
    let again: u64 = scene.packs().values().sum();
    assert!(again - stored < 50_000 && stored > 200_000, "it deduplicates with itself: {stored} {again}");

    let target = scene.at("target");
    let target = target.to_str().unwrap();
    let files = || scene.packs().len();
    let before = files();
    for arguments in [
        &["snapshots"][..],
        &["ls", "latest"],
        &["show", "latest"],
        &["dump", "latest:/data/file"],
        &["restore", "latest", "-t", target],
        &["forget", "--keep-last", "1"],
        &["tag", "latest", "--add", "x"],
        &["protect", "latest"],
        &["prune", "--grace", "0"],
        &["check"],
        &["repair", "index"],
        &["key", "list"],
        &["key", "add", "--generate-key", target],
        &["key", "passwd", "--generate-key", target],
        &["key", "recovery"],
    ] {
        let said = as_host(arguments);
        assert_eq!((said.code, said.out.as_str()), (Some(1), ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains("this key may only write"), "{arguments:?}: {said:?}");
        assert!(said.err.contains("hint: use the password or a full key"), "{arguments:?}: {said:?}");
        assert!(!scene.at("target").exists(), "{arguments:?}");
    }
    assert_eq!(files(), before);
    let said = scene.run(["restore", "latest:/data", "-t", target]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(portrait(&scene.at("target")), portrait(&source));
}
