//! The string table: all texts of a snapshot in one buffer.

use crate::ids::StringId;
use crate::wtf8::Wtf8;

/// Decoded strings, addressed by [`StringId`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringTable {
    bytes: Vec<u8>,
    ends: Ends,
}

/// End offsets in `bytes`. Four bytes a string are enough for every file but those of other producers that don't
/// cut strings, so the wide form is entered only when the text passes 4 GiB.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ends {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// What a name shows that points outside the table, in a damaged file.
const MISSING: &str = "(missing string)";

impl Default for StringTable {
    fn default() -> Self {
        StringTable { bytes: Vec::new(), ends: Ends::Narrow(Vec::new()) }
    }
}

impl StringTable {
    /// Number of strings.
    pub fn len(&self) -> usize {
        match &self.ends {
            Ends::Narrow(ends) => ends.len(),
            Ends::Wide(ends) => ends.len(),
        }
    }

    /// True without strings.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of all texts in bytes.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The text, or a placeholder for an id the file has no string for.
    #[inline]
    pub fn get(&self, id: StringId) -> &Wtf8 {
        self.try_get(id).unwrap_or(MISSING.into())
    }

    /// The text, if the file has it.
    #[inline]
    pub fn try_get(&self, id: StringId) -> Option<&Wtf8> {
        let i = id.index();
        let (start, end) = match &self.ends {
            Ends::Narrow(ends) => {
                let end = *ends.get(i)? as usize;
                (if i == 0 { 0 } else { ends[i - 1] as usize }, end)
            }
            Ends::Wide(ends) => {
                let end = *ends.get(i)? as usize;
                (if i == 0 { 0 } else { ends[i - 1] as usize }, end)
            }
        };
        Some(Wtf8::new(&self.bytes[start..end]))
    }

    /// All strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &Wtf8> + '_ {
        (0..self.len()).map(|i| self.get(StringId(i as u32)))
    }

    /// The first string equal to `text`. A linear search: for a handful of names a pass.
    pub fn find(&self, text: &str) -> Option<StringId> {
        (0..self.len() as u32).map(StringId).find(|&id| self.get(id) == text)
    }

    /// The buffer a decoder appends to; [`StringTable::end_string`] closes each string.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Where the string under construction begins.
    pub(crate) fn open_at(&self) -> usize {
        match &self.ends {
            Ends::Narrow(ends) => ends.last().map_or(0, |&e| e as usize),
            Ends::Wide(ends) => ends.last().map_or(0, |&e| e as usize),
        }
    }

    pub(crate) fn end_string(&mut self) {
        let end = self.bytes.len();
        match &mut self.ends {
            Ends::Narrow(ends) => match u32::try_from(end) {
                Ok(end) => ends.push(end),
                Err(_) => {
                    let mut wide: Vec<u64> = ends.iter().map(|&e| u64::from(e)).collect();
                    wide.push(end as u64);
                    self.ends = Ends::Wide(wide);
                }
            },
            Ends::Wide(ends) => ends.push(end as u64),
        }
    }

    /// Drops the string under construction.
    pub(crate) fn abandon_string(&mut self) {
        let open_at = self.open_at();
        self.bytes.truncate(open_at);
    }

    /// Gives spare capacity back.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        match &mut self.ends {
            Ends::Narrow(ends) => ends.shrink_to_fit(),
            Ends::Wide(ends) => ends.shrink_to_fit(),
        }
    }
}
