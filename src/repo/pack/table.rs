//! The table of a frame: which chunks it consists of. Its hash is the frame's id.

use crate::repo::codec::{Cursor, Malformed, put_varint};
use crate::repo::format::{Class, MAX_CHUNK, MAX_FRAME, MAX_FRAME_CHUNKS};
use crate::repo::id::ChunkId;

/// One chunk of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableChunk {
    /// Length of the plaintext in bytes, 1 to 8 MiB.
    pub length: u32,
    /// The chunk's id.
    pub id: ChunkId,
}

/// The chunks of a frame, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The class of the frame.
    pub class: Class,
    /// The chunks.
    pub chunks: Vec<TableChunk>,
}

impl Table {
    /// The bytes that are hashed to the frame's id.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(4 + self.chunks.len() * 20);
        out.push(self.class.code());
        put_varint(&mut out, self.chunks.len() as u64);
        for chunk in &self.chunks {
            put_varint(&mut out, u64::from(chunk.length));
            out.extend_from_slice(chunk.id.as_bytes());
        }
        out
    }

    /// Reads what [`encode`](Self::encode) wrote; rejects what exceeds the limits of the format.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new("table of a frame", bytes);
        let class = Class::from_code(cursor.u8()?).ok_or(cursor.malformed())?;
        let n = cursor.varint_up_to(MAX_FRAME_CHUNKS)?;
        if n == 0 || cursor.rest().len() < n * (1 + ChunkId::LEN) {
            return Err(cursor.malformed());
        }
        let mut chunks = Vec::with_capacity(n);
        let mut total = 0;
        for _ in 0..n {
            let length = chunk_length(&mut cursor)?;
            total += length as usize;
            chunks.push(TableChunk { length, id: ChunkId::from_bytes(cursor.array()?) });
        }
        cursor.end()?;
        if total > MAX_FRAME { Err(cursor.malformed()) } else { Ok(Self { class, chunks }) }
    }
}

/// Reads the length of a chunk.
fn chunk_length(cursor: &mut Cursor<'_>) -> Result<u32, Malformed> {
    match cursor.varint_up_to(MAX_CHUNK)? {
        0 => Err(cursor.malformed()),
        length => u32::try_from(length).map_err(|_| cursor.malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tables() -> impl Strategy<Value = Table> {
        let chunk = (1u32..5000, any::<[u8; 16]>());
        let chunks = prop::collection::vec(chunk, 1..200);
        (0u8..3, chunks).prop_map(|(class, chunks)| Table {
            class: Class::from_code(class).unwrap(),
            chunks: chunks.into_iter().map(|(length, id)| TableChunk { length, id: ChunkId::from_bytes(id) }).collect(),
        })
    }

    proptest! {
        #[test]
        fn tables_survive(table in tables()) {
            prop_assert_eq!(Table::decode(&table.encode()), Ok(table));
        }

        #[test]
        fn accepted_bytes_are_the_only_spelling(bytes: Vec<u8>) {
            if let Ok(table) = Table::decode(&bytes) {
                prop_assert_eq!(table.encode(), bytes);
            }
        }
    }

    #[test]
    fn limits_hold() {
        let with = |length: u64, n: u64| {
            let mut bytes = vec![0];
            put_varint(&mut bytes, n);
            for _ in 0..n {
                put_varint(&mut bytes, length);
                bytes.extend_from_slice(&[7; 16]);
            }
            Table::decode(&bytes)
        };
        assert!(with(MAX_CHUNK as u64, 1).is_ok());
        assert!(with(MAX_CHUNK as u64 + 1, 1).is_err());
        assert!(with(MAX_CHUNK as u64, 2).is_err(), "frame too large");
        assert!(with(0, 1).is_err());
        assert!(with(1, 0).is_err());
        assert!(with(1, 65_536).is_err());
    }
}
