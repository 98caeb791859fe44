//! Walks over values of Thrift's compact protocol without building them, so that what a hostile file claims of its lengths and its
//! depth is known before anything is made of it.
//!
//! Source: thrift-compact-protocol.md of Apache Thrift.

/// How deep structs and lists may stand in each other; Parquet's own stand five deep.
const DEPTH: u32 = 16;

/// Why a value cannot be walked over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes end before it does.
    Short,
    /// It is none.
    Wrong,
}

type Result<T> = std::result::Result<T, Fault>;

/// The kinds of values that are looked into.
const I32: u8 = 5;
const LIST: u8 = 9;
const STRUCT: u8 = 12;

/// The least bytes of a struct with anything in it: the head of a field, its value, and the end.
const LEAST: u64 = 3;
/// The least bytes of a group of rows with one column: 7 of its own, and 21 of the column.
const GROUP: u64 = 28;
/// The most elements of a schema: built, each takes some hundred times the least that it has as bytes.
const ELEMENTS: u64 = 1 << 16;

/// Bytes to walk over.
struct Walk<'a>(&'a [u8]);

impl Walk<'_> {
    fn pass(&mut self, count: u64) -> Result<()> {
        let count = usize::try_from(count).map_err(|_| Fault::Short)?;
        self.0 = self.0.get(count..).ok_or(Fault::Short)?;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8> {
        let &byte = self.0.first().ok_or(Fault::Short)?;
        self.0 = &self.0[1..];
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Fault::Wrong)
    }

    fn i32(&mut self) -> Result<i32> {
        let number = self.varint()?;
        i32::try_from((number >> 1) as i64 ^ -((number & 1) as i64)).map_err(|_| Fault::Wrong)
    }

    /// The kind of a list's elements and how many there are. Readers make room for all of them first, so each must have its least bytes
    /// among those that are left.
    fn list(&mut self) -> Result<(u8, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        let least = if head & 15 == STRUCT { LEAST } else { 1 };
        if count > self.0.len() as u64 / least {
            return Err(Fault::Short);
        }
        Ok((head & 15, count))
    }

    fn value(&mut self, kind: u8, depth: u32) -> Result<()> {
        if depth == DEPTH {
            return Err(Fault::Wrong);
        }
        match kind {
            // A truth is part of its field's head.
            1 | 2 => Ok(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(drop),
            7 => self.pass(8),
            8 => self.varint().and_then(|count| self.pass(count)),
            LIST | 10 => {
                let (kind, count) = self.list()?;
                (0..count).try_for_each(|_| if kind <= 2 { self.pass(1) } else { self.value(kind, depth + 1) })
            }
            STRUCT => self.fields(depth, |_, _, _| Ok(false)),
            _ => Err(Fault::Wrong),
        }
    }

    /// Shows the fields of a struct by number and kind; those that `look` does not take are passed over.
    fn fields(&mut self, depth: u32, mut look: impl FnMut(&mut Self, i16, u8) -> Result<bool>) -> Result<()> {
        let mut number = 0_i16;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            number = match head >> 4 {
                0 => i16::try_from(self.i32()?).map_err(|_| Fault::Wrong)?,
                more => number.checked_add(i16::from(more)).ok_or(Fault::Wrong)?,
            };
            if !look(self, number, head & 15)? {
                self.value(head & 15, depth + 1)?;
            }
        }
    }
}

/// The bytes of a page, stored and unpacked, as its header at the beginning of `bytes` states them.
pub(super) fn page_sizes(bytes: &[u8]) -> Result<(u64, u64)> {
    let (mut unpacked, mut stored) = (None, None);
    Walk(bytes).fields(0, |walk, number, kind| {
        let size = match (number, kind) {
            (2, I32) => &mut unpacked,
            (3, I32) => &mut stored,
            _ => return Ok(false),
        };
        *size = Some(u64::try_from(walk.i32()?).map_err(|_| Fault::Wrong)?);
        Ok(true)
    })?;
    Ok((stored.ok_or(Fault::Wrong)?, unpacked.ok_or(Fault::Wrong)?))
}

/// Looks whether `bytes` are the metadata of a file whose schema is at most `deep` groups deep, because readers build it by recursion,
/// and states no more elements, children and groups of rows than there can be.
pub(super) fn check_metadata(bytes: &[u8], deep: usize) -> Result<()> {
    // How many children are still to come of each group that stands open.
    let mut open: Vec<i32> = Vec::new();
    Walk(bytes).fields(0, |walk, number, kind| {
        if (number, kind) == (4, LIST) {
            let Walk(groups) = *walk;
            let (_, count) = walk.list()?;
            if count > walk.0.len() as u64 / GROUP {
                return Err(Fault::Short);
            }
            // Each of them is walked over as any other value.
            *walk = Walk(groups);
        }
        if (number, kind) != (2, LIST) {
            return Ok(false);
        }
        let (STRUCT, count) = walk.list()? else { return Err(Fault::Wrong) };
        if count > ELEMENTS {
            return Err(Fault::Wrong);
        }
        for at in 0..count {
            let mut children = 0;
            walk.fields(1, |walk, number, kind| {
                let found = (number, kind) == (5, I32);
                if found {
                    children = walk.i32()?;
                }
                Ok(found)
            })?;
            while open.pop_if(|left| *left == 0).is_some() {}
            if let Some(left) = open.last_mut() {
                *left -= 1;
            }
            let more = i64::from(children);
            if more < 0 || more > 0 && open.len() == deep || more > (count - at) as i64 {
                return Err(Fault::Wrong);
            }
            if children > 0 {
                open.push(children);
            }
        }
        Ok(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A struct of one field, the schema, whose elements have so many children each.
    fn schema(children: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x29, 0xfc, children.len() as u8];
        for &count in children {
            bytes.extend([0x55, count << 1, 0]);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn sizes_of_a_page_are_those_of_its_header() {
        // Its kind, 300 bytes unpacked and 5 stored, then a struct with a number and a text.
        let head = [0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x0a, 0x2c, 0x15, 0x02, 0x18, 0x02, b'h', b'i', 0x00, 0x00, 0xff];
        assert_eq!(page_sizes(&head), Ok((5, 300)));
        for end in 0..head.len() - 1 {
            assert_eq!(page_sizes(&head[..end]), Err(Fault::Short), "{end}");
        }
        assert_eq!(page_sizes(&[0x15, 0x00, 0x00]), Err(Fault::Wrong));
        assert_eq!(page_sizes(&[0x15, 0x00, 0x15, 0x01, 0x15, 0x0a, 0x00]), Err(Fault::Wrong));
        assert_eq!(page_sizes(&[0xff; 99]), Err(Fault::Wrong));
    }

    #[test]
    fn a_schema_may_be_wide_but_not_deep() {
        assert_eq!(check_metadata(&schema(&[2, 1, 0, 0]), 2), Ok(()));
        assert_eq!(check_metadata(&schema(&[1, 1, 1, 0]), 2), Err(Fault::Wrong));
        assert_eq!(check_metadata(&schema(&[9, 8, 7, 6, 5, 4, 3, 2, 1]), 9), Ok(()));
        assert_eq!(check_metadata(&[0x29, 0xfc, 0xff, 0xff, 0x7f], 9), Err(Fault::Short));
        // More children than elements, and more elements or groups of rows than bytes for them.
        assert_eq!(check_metadata(&schema(&[9, 0, 0]), 9), Err(Fault::Wrong));
        assert_eq!(check_metadata(&schema(&[0; 120]), 9), Ok(()));
        let wide = |count: usize| [&[0x29, 0xfc, 0x81, 0x80, 0x04][..], &[0x15, 0, 0].repeat(count), &[0]].concat();
        assert_eq!(check_metadata(&wide((1 << 16) + 1), 9), Err(Fault::Wrong));
        let groups = |count: u8| [&[0x49, count << 4 | 0x0c][..], &[0x15, 0, 0].repeat(count.into()), &[0; 60]].concat();
        assert_eq!(check_metadata(&groups(2), 9), Ok(()));
        assert_eq!(check_metadata(&groups(3), 9), Err(Fault::Short));
        assert_eq!(check_metadata(&[0x1c; 99], 9), Err(Fault::Wrong));
        assert_eq!(check_metadata(&[0x19; 99], 9), Err(Fault::Wrong));
    }
}
