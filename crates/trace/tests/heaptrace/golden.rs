//! Files of each version that ever existed. They must open for ever.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::model::{Model, steps};
use crate::sound;

#[test]
fn a_file_of_version_1_opens() {
    let (written, model) = Model::write(&steps(2026, 1500));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v1.heaptrace");
    // For a new version, and never again for an old one: its file is the promise.
    if std::env::var_os("TWINHEAP_WRITE_FIXTURES").is_some() && !path.exists() {
        std::fs::write(&path, written).expect("a folder that can be written");
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("the file");
    model.check(&sound(&bytes));
}
