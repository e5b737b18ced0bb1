//! The secret that a request costs.

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read as _};

/// Shorter ones can be guessed over a fast connection.
const SHORTEST: usize = 16;
/// Longer ones don't fit into a header with everything else.
const LONGEST: usize = 1024;
/// Bytes of a token that we make.
const RANDOM_BYTES: usize = 32;

/// A bearer token. It is never printed by accident: it has no `Debug` that shows it.
#[derive(Clone)]
pub struct Token(String);

/// Why a text can't be a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It could be guessed.
    #[error("a token has at least {SHORTEST} characters")]
    Short,
    /// It would not fit into a header.
    #[error("a token has at most {LONGEST} characters")]
    Long,
    /// It could not be sent in a header.
    #[error("a token has only visible ASCII characters, without spaces")]
    Characters,
}

impl Token {
    /// A token that the user chose; white space around it does not belong to it.
    ///
    /// # Errors
    /// If it can be guessed or can't be sent.
    pub fn new(text: &str) -> Result<Token, TokenError> {
        let text = text.trim();
        match text.len() {
            ..SHORTEST => Err(TokenError::Short),
            length if length > LONGEST => Err(TokenError::Long),
            _ if !text.bytes().all(|b| b.is_ascii_graphic()) => Err(TokenError::Characters),
            _ => Ok(Token(text.to_owned())),
        }
    }

    /// A random one.
    ///
    /// # Errors
    /// If the system has no random numbers.
    pub fn random() -> io::Result<Token> {
        let bytes = random_bytes::<RANDOM_BYTES>()?;
        Ok(Token(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// The secret itself, for the one place where it is told to the user.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this text is the token.
    ///
    /// It takes as long for a token that is nearly right as for one that is all wrong.
    pub fn is(&self, given: &str) -> bool {
        is_equal(given.as_bytes(), self.0.as_bytes())
    }

    /// Whether a header `Authorization` carries this token.
    ///
    /// It takes as long for a token that is nearly right as for one that is all wrong.
    pub fn is_in(&self, authorization: &[u8]) -> bool {
        let scheme = b"bearer ";
        let Some((given_scheme, given)) = authorization.split_at_checked(scheme.len()) else { return false };
        given_scheme.eq_ignore_ascii_case(scheme) && is_equal(given.trim_ascii(), self.0.as_bytes())
    }
}

/// Random bytes, as for a secret.
///
/// # Errors
/// If the system has no random numbers.
pub fn random_bytes<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Compares in a time that depends on the length of what was given only.
fn is_equal(given: &[u8], wanted: &[u8]) -> bool {
    let mut difference = given.len() ^ wanted.len();
    for (at, byte) in given.iter().enumerate() {
        difference |= usize::from(black_box(byte ^ wanted[at % wanted.len()]));
    }
    black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(authorization: &str, expected: bool) {
        let token = Token::new("0123456789abcdef").unwrap();
        assert_eq!(token.is_in(authorization.as_bytes()), expected, "{authorization}");
    }

    #[test]
    fn only_the_whole_token_opens() {
        check("Bearer 0123456789abcdef", true);
        check("bearer  0123456789abcdef ", true);
        check("Bearer 0123456789abcdeF", false);
        check("Bearer 0123456789abcde", false);
        check("Bearer 0123456789abcdef0", false);
        check("Bearer 0123456789abcdef0123456789abcdef", false);
        check("Bearer", false);
        check("Bearer ", false);
        check("", false);
        check("Basic 0123456789abcdef", false);
        check("0123456789abcdef", false);
        check("Bearer\u{e9}0123456789abcdef", false);
    }

    #[test]
    fn a_token_can_be_sent_and_not_be_guessed() {
        assert_eq!(Token::new(" 0123456789abcdef\n").unwrap().reveal(), "0123456789abcdef");
        assert_eq!(Token::new("0123456789abcde").err(), Some(TokenError::Short));
        assert_eq!(Token::new(&"x".repeat(1025)).err(), Some(TokenError::Long));
        assert_eq!(Token::new("0123456789 abcdef").err(), Some(TokenError::Characters));
        let (one, other) = (Token::random().unwrap(), Token::random().unwrap());
        assert_eq!(one.reveal().len(), 64);
        assert_ne!(one.reveal(), other.reveal());
        assert!(Token::new(one.reveal()).is_ok());
    }
}
