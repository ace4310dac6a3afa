//! What is true of every secret type, as far as the compiler can tell: it is wiped when it's dropped, and nothing can print it, so neither can a panic, whose
//! message is made by `Debug` or `Display`.

use crate::repo::keys::bundle::{Bundle, Opened};
use crate::repo::keys::{DomainKeys, IdKeys, KeyFile, Passphrase, ReadKeys, RunKey, Secret, SecretRoot, WriteKeys};
use crate::repo::seal::SealKey;
use ed25519_dalek::SigningKey;
use std::fmt::{Debug, Display};
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Compiles for what is wiped when it's dropped.
pub(crate) const fn wiped<T: ZeroizeOnDrop + ?Sized>(_: &T) {}

/// The same, of a type alone.
const fn is_wiped<T: ZeroizeOnDrop>() {}

/// Doesn't compile if one of the types has the trait: then two implementations fit, and the compiler can't choose.
macro_rules! never {
    ($trait:path: $($type:ty),+ $(,)?) => { $(const _: fn() = || {
        trait Ambiguous<A> {
            fn chosen() {}
        }
        impl<T: ?Sized> Ambiguous<()> for T {}
        struct Taken;
        impl<T: ?Sized + $trait> Ambiguous<Taken> for T {}
        <$type as Ambiguous<_>>::chosen();
    };)+ };
}

never!(Debug: SealKey, RunKey, KeyFile, Passphrase, Secret, IdKeys, DomainKeys, SecretRoot, WriteKeys, ReadKeys, Opened, Bundle);
never!(Display: SealKey, RunKey, KeyFile, Passphrase, Secret, IdKeys, DomainKeys, SecretRoot, WriteKeys, ReadKeys, Opened, Bundle);

/// Those that hold bytes. What is made of them is taken apart field by field beside its definition.
#[test]
fn what_holds_secret_bytes_wipes_them() {
    is_wiped::<SealKey>();
    is_wiped::<KeyFile>();
    is_wiped::<Passphrase>();
    is_wiped::<SigningKey>();
    is_wiped::<Zeroizing<[u8; 32]>>();
    is_wiped::<Zeroizing<String>>();
}
