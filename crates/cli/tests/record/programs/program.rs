// A Rust program: closures, generics, threads, a leak.
use std::hint::black_box;

#[inline(never)]
fn leaked() {
    std::mem::forget(black_box(Box::new([0u8; 123])));
}

#[inline(never)]
fn grown<T: Clone>(item: T, count: usize) -> Vec<T> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(item.clone());
    }
    all
}

#[inline(never)]
fn in_thread() -> Vec<u8> {
    black_box(vec![1u8; 4567])
}

fn main() {
    for _ in 0..10 {
        leaked();
    }
    black_box(grown(7u64, 1000));
    std::thread::spawn(|| black_box(in_thread())).join().unwrap();
    let result = std::panic::catch_unwind(|| {
        if black_box(true) {
            std::panic::resume_unwind(black_box(Box::new(5)));
        }
    });
    std::process::exit(if result.is_err() { 0 } else { 1 });
}
