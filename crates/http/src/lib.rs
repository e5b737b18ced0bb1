//! What our HTTP servers have in common: who may ask, by which name, and for how long.
//!
//! The endpoint for dumps (`serve`) and the web page (`web`) answer different questions behind the same door.
//! Nothing here knows what they serve.

mod connections;
mod host;
mod token;

pub use connections::serve;
pub use host::is_own_host;
pub use token::{Token, TokenError, random_bytes};
