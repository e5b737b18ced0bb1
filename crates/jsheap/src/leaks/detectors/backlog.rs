//! Streams that are written to faster than they are read.

use twinheap_snapshot::NodeIdx;

use super::findings::{Finding, elements};
use super::survey::Word;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "stream-backlog";

/// Chunks that wait; the default limit of a stream in object mode is 16.
const MANY: usize = 100;
const TOO_MANY: usize = 1000;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    // `_writableState.buffered`, by a symbol in newer versions.
    for fact in scene.survey().edges(Word::Buffered) {
        let chunks: Vec<NodeIdx> = elements(scene, fact.to).collect();
        if chunks.len() < MANY {
            continue;
        }
        let count = chunks.len();
        let place = super::collections::place_words(scene, fact.from);
        found.push(
            Finding {
            function: None,
                detector: NAME,
                members: chunks,
                holder: fact.to,
                key: place.clone(),
                words: format!("{count} chunks wait to be written, in {place}"),
                advice: "Heed what write() returns: stop at false and go on at 'drain', or use pipeline(); drop or \
                         disconnect a reader that does not keep up"
                    .to_owned(),
                strength: if count >= TOO_MANY { Strength::Suspicious } else { Strength::Note },
            }
            .evidence(scene),
        );
    }
}
