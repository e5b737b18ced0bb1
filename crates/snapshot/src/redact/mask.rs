//! Replacement texts: keyed, of the same length, and equal for equal texts.
//!
//! SipHash-2-4 with 128 bits of output is the keyed function. It is made for short inputs, which nearly all strings
//! of a heap are, and without its key nobody can test a guess against an output.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::wtf8::Wtf8;

/// The characters of a replaced text.
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// Characters drawn from 64 bits: 36¹² < 2⁶⁴.
const PER_WORD: usize = 12;

/// What the replacement is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alphabet {
    Letters,
    Digits,
}

/// Makes replacements from a key.
pub(super) struct Masker {
    /// Turns a text into the seed of its replacement.
    text: SipHasher24,
    /// Lengthens a seed.
    stream: SipHasher24,
}

/// A long text that goes by in pieces.
pub(super) struct LongText {
    hash: SipHasher24,
    units: usize,
}

impl Masker {
    pub(super) fn new(salt: &[u8]) -> Self {
        let key = |use_of_it: u8| {
            // The salt is secret, the key it is hashed with need not be; only the two results must differ.
            let mut hash = SipHasher24::new_with_key(&[use_of_it; 16]);
            hash.write(salt);
            hash.finish128().as_bytes()
        };
        Masker { text: SipHasher24::new_with_key(&key(b't')), stream: SipHasher24::new_with_key(&key(b's')) }
    }

    /// Appends the replacement of a text in WTF-8: a character for each of its UTF-16 units.
    pub(super) fn replace(&self, text: &[u8], out: &mut Vec<u8>) {
        let alphabet = if is_number(text) { Alphabet::Digits } else { Alphabet::Letters };
        let units = if text.is_ascii() { text.len() } else { Wtf8::new(text).utf16_len() };
        let mut hash = self.text;
        hash.write(text);
        self.fill(&hash, units, alphabet, out);
    }

    /// Begins a text that is too long to be kept.
    pub(super) fn long_text(&self) -> LongText {
        LongText { hash: self.text, units: 0 }
    }

    /// Appends the replacement of a text that went by.
    pub(super) fn replace_long(&self, text: &LongText, out: &mut Vec<u8>) {
        self.fill(&text.hash, text.units, Alphabet::Letters, out);
    }

    fn fill(&self, hash: &SipHasher24, units: usize, alphabet: Alphabet, out: &mut Vec<u8>) {
        let seed = hash.finish128();
        let (mut words, mut block) = ([seed.h1, seed.h2], 0u64);
        let mut missing = units;
        while missing > 0 {
            for mut word in words {
                let len = missing.min(PER_WORD);
                let mut letters = [0; PER_WORD];
                for letter in &mut letters {
                    *letter = match alphabet {
                        Alphabet::Letters => LETTERS[draw(&mut word, 36)],
                        Alphabet::Digits => b'0' + draw(&mut word, 10) as u8,
                    };
                }
                out.extend_from_slice(&letters[..len]);
                missing -= len;
            }
            if missing > 0 {
                block += 1;
                let mut next = self.stream;
                next.write_u64(seed.h1);
                next.write_u64(seed.h2);
                next.write_u64(block);
                let next = next.finish128();
                words = [next.h1, next.h2];
            }
        }
    }
}

impl LongText {
    /// The next piece, in WTF-8.
    pub(super) fn push(&mut self, text: &[u8]) {
        self.hash.write(text);
        self.units += Wtf8::new(text).utf16_len();
    }
}

/// A number below `of`, taken from the upper end of `word`.
#[inline]
fn draw(word: &mut u64, of: u64) -> usize {
    let wide = u128::from(*word) * u128::from(of);
    *word = wide as u64;
    (wide >> 64) as usize
}

/// True for a text that JavaScript prints for a number. Longer ones than any number has are texts.
pub(super) fn is_number(text: &[u8]) -> bool {
    let of_a_number = |b: &u8| matches!(b, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E');
    matches!(text, b"NaN" | b"Infinity" | b"-Infinity")
        || text.len() <= 400 && text.iter().all(of_a_number) && text.iter().any(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replaced(salt: &str, text: &str) -> String {
        let mut out = Vec::new();
        Masker::new(salt.as_bytes()).replace(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn length_and_kind_stay_and_nothing_else() {
        for text in ["", "a", "password", "a longer text ä that spans several blocks: 😀 und 𝠀", "e", "-"]
        {
            let got = replaced("salt", text);
            assert_eq!(got.len(), text.encode_utf16().count(), "{text}");
            assert!(got.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{got}");
        }
        for text in ["0", "-17", "3.25e+21", "NaN", "-Infinity", "123456789012345678901234567890"] {
            let got = replaced("salt", text);
            assert_eq!(got.len(), text.len());
            assert!(got.bytes().all(|b| b.is_ascii_digit()), "{got}");
        }
    }

    #[test]
    fn equal_texts_stay_equal_under_one_salt_only() {
        let text = "some text, longer than one block of twenty-four";
        assert_eq!(replaced("one", text), replaced("one", text));
        assert_ne!(replaced("one", text), replaced("two", text));
        assert_ne!(replaced("one", text), replaced("one", &text.replace("some", "same")));
    }

    #[test]
    fn letters_are_drawn_evenly() {
        let mut count = [0u32; 256];
        for i in 0..2000 {
            replaced("salt", &format!("text number {i} that fills some blocks of the stream"))
                .bytes()
                .for_each(|b| {
                    count[usize::from(b)] += 1;
                });
        }
        let all: u32 = count.iter().sum();
        for &letter in LETTERS {
            let share = f64::from(count[usize::from(letter)]) / f64::from(all) * 36.0;
            assert!((0.9..1.1).contains(&share), "{} {share}", letter as char);
        }
    }
}
