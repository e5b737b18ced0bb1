//! What the machine's memory allows: the ceilings that a pass over big arrays runs into.

use std::{hint::black_box, num::NonZero, thread, time::Instant};

/// Words of the arrays for sequential access: 512 MiB, far beyond any cache.
const WORDS: usize = 64 << 20;

/// Each measurement is repeated so often, and the best counts.
const REPEATS: u32 = 5;

/// Rates on one thread and on all together.
#[derive(Clone, Copy)]
pub(super) struct Rate {
    pub(super) one: f64,
    pub(super) all: f64,
}

/// Measured ceilings of the memory, for one heap.
pub(super) struct Ceilings {
    pub(super) threads: usize,
    /// Sequential reading, bytes per second.
    pub(super) read: Rate,
    /// Copying, bytes per second, read and written ones added up.
    pub(super) copy: Rate,
    /// Writing memory that is fresh from the kernel, bytes per second.
    pub(super) first_touch: Rate,
    /// Elements of the array that the next two go over: one `u32` for each node.
    pub(super) nodes: usize,
    /// Reads at random places that don't depend on each other, per second.
    pub(super) gathers: Rate,
    /// Reads at random places, each of which says where the next one is, per second.
    pub(super) hops: Rate,
}

impl Ceilings {
    pub(super) fn measure(nodes: u64) -> Ceilings {
        let nodes = usize::try_from(nodes).unwrap_or(usize::MAX).clamp(2, u32::MAX as usize);
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        println!("measuring memory with arrays of {nodes} nodes");
        let rate = |work: &dyn Fn(usize) -> f64| Rate { one: work(1), all: work(threads) };
        Ceilings {
            threads,
            read: rate(&read_rate),
            copy: rate(&copy_rate),
            first_touch: rate(&first_touch_rate),
            nodes,
            gathers: rate(&|threads| gather_rate(nodes, threads)),
            hops: rate(&|threads| hop_rate(nodes, threads)),
        }
    }
}

fn read_rate(threads: usize) -> f64 {
    let words = vec![1_u64; WORDS];
    let chunk = WORDS.div_ceil(threads);
    let seconds = best(|| {
        thread::scope(|scope| {
            for part in words.chunks(chunk) {
                scope.spawn(|| black_box(part.iter().fold(0_u64, |sum, word| sum.wrapping_add(*word))));
            }
        });
    });
    size_of_val(&*words) as f64 / seconds
}

fn copy_rate(threads: usize) -> f64 {
    let from = vec![1_u64; WORDS / 2];
    let mut to = vec![2_u64; WORDS / 2];
    let chunk = from.len().div_ceil(threads);
    let seconds = best(|| {
        thread::scope(|scope| {
            for (from, to) in from.chunks(chunk).zip(to.chunks_mut(chunk)) {
                scope.spawn(|| {
                    to.copy_from_slice(from);
                    black_box(to);
                });
            }
        });
    });
    2.0 * size_of_val(&*from) as f64 / seconds
}

fn first_touch_rate(threads: usize) -> f64 {
    let words = WORDS / 2 / threads;
    // Freed after each round, so that the next one faults its pages in again.
    let seconds = best(|| {
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| black_box(vec![1_u64; words]));
            }
        });
    });
    (words * threads * size_of::<u64>()) as f64 / seconds
}

fn gather_rate(nodes: usize, threads: usize) -> f64 {
    let places = one_cycle(nodes);
    let values = vec![1_u32; nodes];
    let chunk = nodes.div_ceil(threads);
    let seconds = best(|| {
        thread::scope(|scope| {
            for part in places.chunks(chunk) {
                let values = &values;
                scope.spawn(move || {
                    let sum = |sum: u32, place: &u32| sum.wrapping_add(values[*place as usize]);
                    black_box(part.iter().fold(0, sum))
                });
            }
        });
    });
    nodes as f64 / seconds
}

fn hop_rate(nodes: usize, threads: usize) -> f64 {
    let next = one_cycle(nodes);
    let hops = nodes.min(1 << 21);
    let seconds = best(|| {
        thread::scope(|scope| {
            for thread in 0..threads {
                let next = &next;
                scope.spawn(move || {
                    let start = (thread * nodes / threads) as u32;
                    black_box((0..hops).fold(start, |place, _| next[place as usize]))
                });
            }
        });
    });
    (hops * threads) as f64 / seconds
}

/// A permutation of `0..n` that is a single cycle (Sattolo's shuffle), so that following it visits everything.
fn one_cycle(n: usize) -> Vec<u32> {
    let mut items: Vec<u32> = (0..n as u32).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..n).rev() {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(last, (state % last as u64) as usize);
    }
    items
}

/// The shortest time of a few, in seconds.
fn best(mut work: impl FnMut()) -> f64 {
    let mut shortest = f64::INFINITY;
    for _ in 0..REPEATS {
        let start = Instant::now();
        work();
        shortest = shortest.min(start.elapsed().as_secs_f64());
    }
    shortest
}

#[cfg(test)]
mod tests {
    use super::one_cycle;

    #[test]
    fn following_the_cycle_visits_everything() {
        let next = one_cycle(1000);
        let mut place = 0;
        for step in 1..=1000 {
            place = next[place as usize];
            assert_eq!(place == 0, step == 1000, "back at the start after {step} steps");
        }
    }
}
