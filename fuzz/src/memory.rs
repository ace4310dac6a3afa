//! How much memory decoding takes at most: what the other side says of lengths and counts must not decide it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    /// Bytes that this thread has allocated and not freed.
    static LIVE: Cell<isize> = const { Cell::new(0) };
    /// The most that it had since it was last asked.
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Counts what each thread allocates. Without it as the program's allocator, nothing is measured.
pub struct Measured;

fn count(bytes: isize) {
    // A thread that ends has no counters any more, and asks nothing.
    let _ = LIVE.try_with(|live| {
        let now = live.get() + bytes;
        live.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

// SAFETY: all is left to the system's allocator; what is counted has no influence on what is returned.
unsafe impl GlobalAlloc for Measured {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as the caller promised.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // While it moves, there are both.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `decode`, which must not hold more than `bytes` at any moment.
pub fn at_most<T>(bytes: usize, decode: impl FnOnce() -> T) -> T {
    let before = LIVE.get();
    PEAK.set(before);
    let decoded = decode();
    let held = PEAK.get() - before;
    assert!(held <= bytes.cast_signed(), "{held} bytes were held, which is more than {bytes}");
    decoded
}

/// What a record of CBOR may need: texts and arrays of nothing take a byte each there, and some words in memory.
pub const fn for_records(body: &[u8]) -> usize {
    (64 << 10) + 128 * body.len()
}
