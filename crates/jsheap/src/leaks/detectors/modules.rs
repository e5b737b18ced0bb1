//! Modules that are there more than once: evaluated again and again, or installed in several places.

use rustc_hash::{FxHashMap, FxHashSet};
use twinheap_snapshot::{NodeIdx, NodeType, StringId};

use super::findings::{Finding, common_holder};
use super::survey::Word;
use crate::leaks::code::Origin;
use crate::leaks::{Evidence, Scene, Strength};

pub(crate) const NAME: &str = "module-copies";

/// Copies of one file: a test runner or a plug-in may make two or three.
const MANY: usize = 5;

pub(crate) fn detect(scene: &Scene<'_>, found: &mut Vec<Evidence>) {
    let snapshot = &scene.heap.snapshot;
    let mut files: FxHashMap<&[u8], Vec<NodeIdx>> = FxHashMap::default();
    for fact in scene.survey().edges(Word::Filename) {
        let is_module = snapshot.raw_name_text(fact.from).as_bytes() == b"Module";
        if is_module && snapshot.node_type(fact.to) == NodeType::STRING {
            files.entry(snapshot.raw_name_text(fact.to).as_bytes()).or_default().push(fact.from);
        }
    }
    let mut files: Vec<_> = files.into_iter().filter(|(_, modules)| modules.len() >= MANY).collect();
    files.sort_by_key(|(file, modules)| (std::cmp::Reverse(modules.len()), *file));
    if files.is_empty() {
        return;
    }
    let loader = loader(scene);
    for (file, modules) in files {
        let file = String::from_utf8_lossy(file).into_owned();
        found.push(
            Finding {
            function: loader,
                detector: NAME,
                holder: common_holder(scene, &modules),
                key: file.clone(),
                words: format!("the module {file} was evaluated {} times, and all copies are there", modules.len()),
                advice: "Don't delete from require.cache to load a file again: the parent's `children` keeps the old \
                         module. Read data with fs and JSON.parse, or start a worker or a child process for code"
                    .to_owned(),
                strength: Strength::Suspicious,
                members: modules,
            }
            .evidence(scene),
        );
    }
}

/// The function that deletes from `require.cache`: it mentions both names of `delete require.cache[require.resolve(…)]`.
fn loader(scene: &Scene<'_>) -> Option<NodeIdx> {
    let snapshot = &scene.heap.snapshot;
    let mentions = |names: &FxHashSet<StringId>, wanted: &[u8]| {
        names.iter().any(|&name| snapshot.strings.get(name).as_bytes() == wanted)
    };
    let functions = scene.functions().iter();
    let mut loaders = functions.filter(|(function, said)| {
        scene.origin_of(function.closure) == Some(Origin::Program)
            && mentions(&said.names, b"cache")
            && mentions(&said.names, b"resolve")
    });
    loaders.next().map(|(function, _)| function.closure)
}
