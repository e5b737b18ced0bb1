//! Several dumps, oldest first: what grows from dump to dump, and what it grows in.

use twinheap_snapshot::{EdgeIdx, Join, NodeIdx, NodeType};

use crate::heap::Heap;
use crate::ids::IdEvidence;
use crate::leaks::census::{Ages, Beside, Census, Sums, ages};
use crate::leaks::classes::growing;
use crate::leaks::detectors::Doubles;
use crate::leaks::findings::{Draft, Findings, conclude, draft_evidence};
use crate::leaks::naming::{Holding, owner};
use crate::leaks::scene::Scene;
use crate::leaks::steps::Label;
use crate::leaks::{Confidence, Pattern, Verdict, single};
use twinheap_trend::{Trend, trend};

/// Fewer objects more than this over the whole ladder are nothing to talk about, unless they are large.
const FEW: u64 = 10;
/// Nor are fewer bytes more.
const SMALL: u64 = 4096;
/// A place whose objects don't become more, but larger, has to grow by so much to be seen.
const LARGE: u64 = 256 << 10;

/// Dumps of one process, oldest first. Only the newest heap is needed as a whole; of the ones before, what is kept
/// takes a tenth of their room.
#[derive(Default)]
pub struct Ladder {
    earlier: Vec<Census>,
}

impl Ladder {
    /// A ladder without dumps.
    pub fn new() -> Ladder {
        Ladder::default()
    }

    /// Adds a dump that is not the newest. Its heap can go afterwards. `join` lends a second thread.
    pub fn add(&mut self, heap: &Heap, join: &Join<'_>) {
        let (scene, beside) = look(heap, true, join);
        self.earlier.push(Census::new(&scene, beside));
    }

    /// Judges the ladder with its newest dump; without earlier ones, that dump alone. `join` lends a second thread.
    pub fn finish(self, newest: &Heap, join: &Join<'_>) -> Findings {
        let (scene, beside) = look(newest, !self.earlier.is_empty(), join);
        let newest = &scene;
        let now = Census::new(newest, beside);
        let mut findings = Findings::new(&self.earlier, &now);
        if self.earlier.is_empty() {
            let drafts = single::suspects(newest);
            conclude(newest, &mut findings, drafts);
            return findings;
        }
        let ids: Vec<IdEvidence> = self.earlier.iter().map(|dump| dump.ids.evidence(&now.ids)).collect();
        findings.note_ids(&ids);
        let dumps: Vec<_> = self.earlier.iter().chain([&now]).map(|dump| &dump.classes).collect();
        findings.classes = growing(&dumps);
        let comparable = findings.comparable_ids == Some(true);
        let climb = Climb { earlier: &self.earlier, now: &now, scene: newest, comparable };
        let drafts = climb.drafts();
        conclude(newest, &mut findings, drafts);
        findings
    }
}

/// Finds the paths, and at the same time what needs no paths: texts that are there more than once, and ids and classes
/// if there are other dumps to compare them with.
fn look<'a>(heap: &'a Heap, is_ladder: bool, join: &Join<'_>) -> (Scene<'a>, Beside) {
    let (mut scene, mut doubles, mut beside) = (None, None, Beside::default());
    join(&mut || scene = Some(Scene::new(heap)), &mut || {
        doubles = Some(Doubles::new(heap));
        if is_ladder {
            beside = Beside::new(heap);
        }
    });
    let scene = scene.unwrap_or_else(|| Scene::new(heap));
    (if let Some(doubles) = doubles { scene.with_doubles(doubles) } else { scene }, beside)
}

/// A group of growing steps with one owner.
struct Group {
    owner: NodeIdx,
    /// The edge by which the owner, or a part of it, holds the example of the first step.
    entry: Option<EdgeIdx>,
    holding: Holding,
    steps: Vec<u32>,
}

struct Climb<'a> {
    earlier: &'a [Census],
    now: &'a Census,
    scene: &'a Scene<'a>,
    comparable: bool,
}

impl Climb<'_> {
    fn drafts(&self) -> Vec<Draft> {
        let groups = self.groups();
        let (leaders, mut drafts): (Vec<u32>, Vec<Draft>) =
            groups.iter().filter_map(|group| self.draft(group)).unzip();
        if self.comparable {
            self.weigh_ages(&leaders, &mut drafts);
        }
        drafts.extend(self.swelling());
        drafts.extend(draft_evidence(self.scene, self.earlier));
        drafts
    }

    /// The sums of a step at each dump, oldest first.
    fn sums(&self, step: u32) -> Vec<Sums> {
        let hash = self.scene.steps.rows[step as usize].hash;
        let dumps = self.earlier.iter().chain([self.now]);
        dumps.map(|dump| dump.steps.get(&hash).copied().unwrap_or_default()).collect()
    }

    /// How the number of a step's objects goes.
    fn trend(&self, step: u32) -> Trend {
        let objects: Vec<u64> = self.sums(step).iter().map(|sums| sums.objects).collect();
        trend(&objects)
    }

    /// Walks down from the root; where a step does not grow and one below does, objects pile up in between. What is
    /// below grows along with it and is no news.
    fn groups(&self) -> Vec<Group> {
        let steps = &self.scene.steps;
        let mut groups: rustc_hash::FxHashMap<u32, Group> = rustc_hash::FxHashMap::default();
        let mut work = vec![0u32];
        while let Some(step) = work.pop() {
            for &child in steps.children(step) {
                let row = &steps.rows[child as usize];
                if row.below < SMALL {
                    continue;
                }
                if !self.is_growing(child) {
                    work.push(child);
                    continue;
                }
                // What V8 makes for itself is no news, but what hangs on it may be: a promise's reactions.
                if !self.is_interesting(child) {
                    work.push(child);
                    continue;
                }
                let Some((owner, entry, holding)) = self.owner_of(child) else { continue };
                let key = steps.of(owner);
                let group = groups.entry(key).or_insert(Group { owner, entry, holding, steps: Vec::new() });
                group.steps.push(child);
            }
        }
        let mut groups: Vec<Group> = groups.into_values().collect();
        groups.sort_by_key(|group| group.steps[0]);
        groups
    }

    fn is_growing(&self, step: u32) -> bool {
        let row = &self.scene.steps.rows[step as usize];
        let objects = |dump: &Census| dump.steps.get(&row.hash).map_or(0, |sums| sums.objects);
        let first = self.earlier.first().map_or(0, objects);
        let last = objects(self.now);
        // Other steps of the same hash may be the ones that grow.
        last > first + 1 && row.objects * 2 >= last && self.trend(step).pattern.is_some()
    }

    /// What holds the objects of a step, by which edge, and whether they are a list in which one holds the next.
    fn owner_of(&self, step: u32) -> Option<(NodeIdx, Option<EdgeIdx>, Holding)> {
        let steps = &self.scene.steps;
        let row = &steps.rows[step as usize];
        let is_list = row.folded * 2 > row.objects;
        let mut first = row.example;
        if is_list {
            // Up to where it begins, though other objects may stand between its own.
            let mut at = first;
            while let Some((above, _)) = self.scene.holder(at) {
                at = above;
                if steps.of(at) == step {
                    first = at;
                }
            }
        }
        let (mut holder, mut edge) = self.scene.holder(first)?;
        // Its first object may hang on its owner by another name.
        while is_list && steps.label(steps.of(holder)) == steps.label(step) {
            (holder, edge) = self.scene.holder(holder)?;
        }
        let holding = if is_list { Holding::Chain } else { Holding::Entries };
        Some((owner(self.scene, holder), Some(edge), holding))
    }

    /// A suspect for a group, with the step that it is named after.
    fn draft(&self, group: &Group) -> Option<(u32, Draft)> {
        let leader = self.leader(group)?;
        let series = self.sums(leader);
        let (Some(first), Some(last)) = (series.first(), series.last()) else { return None };
        let objects = last.objects.saturating_sub(first.objects);
        let bytes = last.retained_size.saturating_sub(first.retained_size);
        if bytes < SMALL || (objects < FEW && bytes < LARGE) || is_behind_code(self.scene, group.owner) {
            return None;
        }
        let row = &self.scene.steps.rows[leader as usize];
        let counts: Vec<u64> = series.iter().map(|sums| sums.objects).collect();
        let trend = trend(&counts);
        let pattern = trend.pattern?;
        let mut draft =
            Draft::new(self.scene, "growth", group.owner, group.entry, group.holding, row.example, &series);
        draft.pattern = Some(pattern);
        if counts.len() > 2 && counts.iter().rev().skip(1).all(|&count| count == 0) {
            // It was not there in any dump before: held by something else then, or new.
            return None;
        }
        (draft.verdict, draft.confidence) = match (pattern, trend.confidence) {
            (Pattern::Steady, Confidence::High) => (Verdict::Leak, Confidence::High),
            // Two dumps: a fifth more is growth, a few more are not.
            (Pattern::Steady, confidence) if self.earlier.len() > 1 || objects * 5 >= last.objects => {
                (Verdict::Leak, confidence)
            }
            _ => (Verdict::Suspect, Confidence::Low),
        };
        if pattern == Pattern::Step && !is_rising_at_last(&counts) {
            // It filled up and stopped: warm-up.
            return None;
        }
        Some((leader, draft))
    }

    /// What the group is named after: the step that brings most bytes, but rather objects than the strings that are
    /// their keys.
    fn leader(&self, group: &Group) -> Option<u32> {
        let steps = &self.scene.steps;
        let growth = |step: u32| {
            let sums = self.sums(step);
            sums.last().map_or(0, |s| s.below).saturating_sub(sums.first().map_or(0, |s| s.below))
        };
        let is_object =
            |step: u32| matches!(steps.label(step), Label::Named(_) | Label::Function(..) | Label::Inner(_));
        let top = group.steps.iter().copied().max_by_key(|&step| (growth(step), std::cmp::Reverse(step)))?;
        if is_object(top) {
            return Some(top);
        }
        let best =
            group.steps.iter().copied().filter(|&step| is_object(step)).max_by_key(|&step| growth(step));
        Some(best.filter(|&best| growth(best) * 4 >= growth(top)).unwrap_or(top))
    }

    /// What the ids tell: whether the objects of the first dump are still there. In a leak they are; in a cache or a
    /// queue they were replaced by others. `leaders` are the drafts' steps.
    fn weigh_ages(&self, leaders: &[u32], drafts: &mut [Draft]) {
        let Some((first, last)) = self.earlier.first().zip(self.earlier.last()) else { return };
        let ages = ages(self.scene, leaders, first.max_id, last.max_id);
        for (draft, Ages { old, fresh }) in drafts.iter_mut().zip(ages) {
            let had = draft.series.first().map_or(0, |sums| sums.objects);
            let has = draft.series.last().map_or(0, |sums| sums.objects);
            draft.evidence.push(format!("{fresh} of them are new since the dump before and still held"));
            if had < FEW {
                continue;
            }
            let left = old.min(had);
            draft.evidence.push(format!("of the {had} in the first dump, {left} are still held"));
            if old * 2 >= had {
                continue;
            }
            draft.evidence.push("most of them come and go".to_owned());
            // A queue that more is put into than taken out of is a leak all the same, once it has doubled.
            if draft.verdict == Verdict::Leak && draft.series.len() > 2 && has >= 2 * had {
                draft.confidence = Confidence::Medium;
            } else {
                draft.verdict = Verdict::Suspect;
                draft.confidence = Confidence::Low;
            }
        }
    }

    /// Objects that don't become more but larger: strings that are appended to, arrays of numbers, buffers.
    fn swelling(&self) -> Vec<Draft> {
        let steps = &self.scene.steps;
        let mut drafts = Vec::new();
        for step in 1..steps.rows.len() as u32 {
            let row = &steps.rows[step as usize];
            if row.shallow_size < LARGE || self.is_growing(step) || !self.is_interesting(step) {
                continue;
            }
            let series = self.sums(step);
            let sizes: Vec<u64> = series.iter().map(|sums| sums.shallow_size).collect();
            let trend = trend(&sizes);
            let rise = row.shallow_size.saturating_sub(sizes[0]);
            let Some(pattern) = trend.pattern.filter(|_| rise >= LARGE && rise * 10 >= row.shallow_size)
            else {
                continue;
            };
            // Something inside a group that grows is shown with it.
            if self.has_growing_ancestor(step) || is_behind_code(self.scene, row.example) {
                continue;
            }
            let Some((holder, entry)) = self.scene.holder(row.example) else { continue };
            let is_collection = self.scene.heap.snapshot.node_type(row.example) == NodeType::OBJECT;
            let place = if is_collection { row.example } else { owner(self.scene, holder) };
            let entry = if is_collection { None } else { Some(entry) };
            let mut draft =
                Draft::new(self.scene, "growth", place, entry, Holding::Value, row.example, &series);
            draft.pattern = Some(pattern);
            draft.swells = true;
            (draft.verdict, draft.confidence) = match pattern {
                Pattern::Steady if self.earlier.len() > 1 => (Verdict::Leak, Confidence::Medium),
                Pattern::Step if !is_rising_at_last(&sizes) => continue,
                _ => (Verdict::Suspect, Confidence::Low),
            };
            drafts.push(draft);
        }
        drafts
    }

    /// What V8 makes for itself grows with the code that runs, except for what it makes when the program asks for it.
    fn is_interesting(&self, step: u32) -> bool {
        match self.scene.steps.label(step) {
            Label::Inner(name) => is_asked_for(self.scene.heap.snapshot.strings.get(name).as_bytes()),
            Label::Kind(kind) => !matches!(
                kind,
                NodeType::CODE
                    | NodeType::OBJECT_SHAPE
                    | NodeType::HIDDEN
                    | NodeType::SYNTHETIC
                    | NodeType::NUMBER
                    | NodeType::SYMBOL
            ),
            _ => true,
        }
    }

    fn has_growing_ancestor(&self, step: u32) -> bool {
        let mut at = step;
        while at != 0 {
            at = self.scene.steps.rows[at as usize].parent;
            if self.is_growing(at) {
                return true;
            }
        }
        false
    }
}

/// True for what is held by V8's bookkeeping of code: feedback, boilerplates, compilation caches.
pub(crate) fn is_behind_code(scene: &Scene<'_>, node: NodeIdx) -> bool {
    let mut at = Some(node);
    while let Some(node) = at {
        if matches!(scene.heap.snapshot.node_type(node), NodeType::CODE | NodeType::OBJECT_SHAPE) {
            return true;
        }
        at = scene.holder(node).map(|(holder, _)| holder);
    }
    false
}

/// Things of V8's that stand for something the program did: waited for a promise, registered an object.
fn is_asked_for(name: &[u8]) -> bool {
    matches!(name, b"system / PromiseReaction" | b"system / WeakCell" | b"system / AsyncGeneratorRequest")
}

fn is_rising_at_last(series: &[u64]) -> bool {
    match series {
        [.., before, last] => last > before && (last - before) * 50 >= *last,
        _ => false,
    }
}
