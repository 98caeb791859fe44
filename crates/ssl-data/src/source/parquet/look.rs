//! Looks at pages once they are unpacked: the decoder makes room for as many texts, or lengths of texts, as a page states before it sees
//! whether they are there.

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};

/// The most texts of a dictionary, or lengths on a page: of the first the places alone take 128 MiB. Writers close both at about a
/// megabyte.
const VALUES: u64 = 1 << 22;
/// The least bytes of a text in a dictionary: its length.
const LENGTH: u64 = 4;

/// Pages that do not lie.
pub(super) struct Looked<R> {
    pub(super) pages: R,
    /// Whether pages begin with what says which rows have a value.
    pub(super) levels: bool,
}

impl<R: PageReader> PageReader for Looked<R> {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if page.as_ref().is_some_and(|page| look(page, self.levels).is_none()) {
            return Err(ParquetError::General("a page states more texts than it has".into()));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.pages.skip_next_page()
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.pages.at_record_boundary()
    }
}

impl<R: PageReader> Iterator for Looked<R> {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Nothing where a page has no room for the texts that it states, or is cut off.
fn look(page: &Page, levels: bool) -> Option<()> {
    if let Page::DictionaryPage { buf, num_values, .. } = page {
        return (u64::from(*num_values) <= VALUES.min(buf.len() as u64 / LENGTH)).then_some(());
    }
    let runs = match page.encoding() {
        Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
        // Lengths of what a text shares with the one before, then of what it has of its own.
        Encoding::DELTA_BYTE_ARRAY => 2,
        _ => return Some(()),
    };
    let before = match page {
        Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
            (*def_levels_byte_len as usize).checked_add(*rep_levels_byte_len as usize)?
        }
        _ if levels => 4 + u32::from_le_bytes(*page.buffer().first_chunk()?) as usize,
        _ => 0,
    };
    let mut bytes = page.buffer().get(before..)?;
    for _ in 0..runs {
        bytes = behind_numbers(bytes, VALUES.min(page.num_values().into()))?;
    }
    Some(())
}

/// What stands behind numbers that are packed by their differences, if there are at most so many.
///
/// Source: Encodings.md of Apache Parquet, delta encoding.
fn behind_numbers(mut bytes: &[u8], most: u64) -> Option<&[u8]> {
    let (block, parts, count) = (varint(&mut bytes)?, varint(&mut bytes)?, varint(&mut bytes)?);
    varint(&mut bytes)?;
    let part = block.checked_div(parts).filter(|part| *part > 0)?;
    if count > most {
        return None;
    }
    // The first stands in the head.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(&mut bytes)?;
        let (widths, rest) = bytes.split_at_checked(usize::try_from(parts).ok()?)?;
        bytes = rest;
        for width in widths {
            if left == 0 {
                break;
            }
            let size = part.checked_mul(u64::from(*width))? / 8;
            bytes = bytes.get(usize::try_from(size).ok()?..)?;
            left = left.saturating_sub(part);
        }
    }
    Some(bytes)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_their_differences_are_passed_over() {
        // Blocks of 128 in 4 parts: five numbers from 3 on, which differ by 1 to 4, in 2 bits each.
        let packed = [&[0x80, 0x01, 4, 5, 6, 2, 2, 0, 0, 0][..], &[0; 8], b"rest"].concat();
        assert_eq!(behind_numbers(&packed, 5), Some(&b"rest"[..]));
        assert_eq!(behind_numbers(&packed, 4), None);
        assert_eq!(behind_numbers(&packed[..12], 5), None);
        // None, and one, which has no block.
        assert_eq!(behind_numbers(&[0x80, 0x01, 4, 0, 0, b'x'], 5), Some(&b"x"[..]));
        assert_eq!(behind_numbers(&[0x80, 0x01, 4, 1, 2, b'x'], 5), Some(&b"x"[..]));
        // No parts, and more of them than bytes.
        assert_eq!(behind_numbers(&[0x80, 0x01, 0, 5, 6], 5), None);
        assert_eq!(behind_numbers(&[0x80, 0x80, 0x80, 0x80, 1, 0x80, 0x80, 0x80, 0x80, 1, 5, 6, 0], 5), None);
    }
}
