//! The bytes that no chunk has taken yet, some of them from earlier pushes.

/// What is left of earlier pushes, and what has just been pushed. Only the former is owned.
pub(in crate::chunker) struct Window<'b> {
    kept: Vec<u8>,
    fresh: &'b [u8],
}

impl<'b> Window<'b> {
    pub(in crate::chunker) const fn new(kept: Vec<u8>, fresh: &'b [u8]) -> Self {
        Self { kept, fresh }
    }

    /// Hands over the first `n` bytes in one slice. Copies only if they come from two pushes.
    #[inline]
    pub(in crate::chunker) fn take<E>(
        &mut self,
        n: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.kept.is_empty() {
            let (now, later) = self.fresh.split_at(n);
            self.fresh = later;
            return each(now);
        }
        self.take_kept(n, each)
    }

    fn take_kept<E>(&mut self, n: usize, each: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if let Some(missing) = n.checked_sub(self.kept.len()) {
            let (now, later) = self.fresh.split_at(missing);
            self.fresh = later;
            self.kept.extend_from_slice(now);
        }
        each(&self.kept[..n])?;
        self.kept.drain(..n);
        Ok(())
    }

    /// Hands over the first `n` bytes in as many slices as they come in, without copying.
    pub(in crate::chunker) fn pour<E>(
        &mut self,
        n: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let kept = n.min(self.kept.len());
        if kept > 0 {
            self.take(kept, each)?;
        }
        if n > kept { self.take(n - kept, each) } else { Ok(()) }
    }

    /// How many bytes there are.
    pub(in crate::chunker) const fn length(&self) -> usize {
        self.kept.len() + self.fresh.len()
    }

    /// Keeps all that is left for the next push.
    pub(in crate::chunker) fn keep(mut self) -> Vec<u8> {
        self.kept.extend_from_slice(self.fresh);
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn bytes_of_two_pushes_come_in_order() {
        let mut window = Window::new(b"abc".to_vec(), b"defgh");
        let mut taken: Vec<Vec<u8>> = Vec::new();
        let mut each = |bytes: &[u8]| {
            taken.push(bytes.to_vec());
            Ok::<_, Infallible>(())
        };
        let Ok(()) = window.take(1, &mut each);
        let Ok(()) = window.take(3, &mut each);
        assert_eq!(window.length(), 4);
        let Ok(()) = window.take(2, &mut each);
        let mut window = Window::new(window.keep(), b"ij");
        let Ok(()) = window.pour(3, &mut each);
        assert_eq!(window.keep(), b"j");
        assert_eq!(taken, [&b"a"[..], b"bcd", b"ef", b"gh", b"i"]);
    }
}
