//! The snapshots to measure with, written by `xtask/bench/heaps.cjs` and kept in `target/bench`.

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{check, peers::Tools, work_dir};
use crate::root;

/// A snapshot of a wanted size.
pub(super) struct Spec {
    name: &'static str,
    target_bytes: u64,
    /// Elements of a singly linked list that the program holds beside everything else.
    chain: u64,
    about: &'static str,
}

pub(super) const QUICK: Spec =
    Spec { name: "quick", target_bytes: 20_000_000, chain: 0, about: "a fast check" };
pub(super) const SMALL: Spec =
    Spec { name: "100 MB", target_bytes: 100_000_000, chain: 0, about: "a server with a small heap" };
pub(super) const LARGE: Spec =
    Spec { name: "450 MB", target_bytes: 450_000_000, chain: 0, about: "a beacon node's usual size" };
pub(super) const CHAIN: Spec = Spec {
    name: "100 MB, chain",
    target_bytes: 100_000_000,
    chain: 120_000,
    about: "with a singly linked list of 120,000 elements",
};
pub(super) const HUGE: Spec = Spec {
    name: "2 GB",
    target_bytes: 2_000_000_000,
    chain: 0,
    about: "a heap near the limit of many containers",
};

/// How far a file may be from the wanted size.
const TOLERANCE: f64 = 0.10;

/// The requests of the two small runs that calibrate the file's growth.
const CALIBRATION_REQUESTS: [u64; 2] = [1500, 3000];

/// A snapshot file with what its header says.
pub(super) struct Heap {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    pub(super) nodes: u64,
    pub(super) edges: u64,
}

impl Heap {
    /// Reads the counts in a snapshot's first section; the rest of the file is not touched.
    pub(super) fn of_file(path: &Path) -> Result<Heap> {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = fs::metadata(path).with_context(|| format!("cannot open {}", path.display()))?.len();
        let mut head = Vec::new();
        fs::File::open(path)?.take(8192).read_to_end(&mut head)?;
        let head = String::from_utf8_lossy(&head);
        let count = |key: &str| -> Option<u64> {
            let (_, rest) = head.split_once(&format!("\"{key}\":"))?;
            let digits = rest.trim_start();
            digits[..digits.find(|c: char| !c.is_ascii_digit())?].parse().ok()
        };
        let (Some(nodes), Some(edges)) = (count("node_count"), count("edge_count")) else {
            bail!("{} does not start like a heap snapshot", path.display());
        };
        Ok(Heap {
            name,
            about: "given on the command line".to_owned(),
            path: path.to_owned(),
            bytes,
            nodes,
            edges,
        })
    }

    /// File size in decimal megabytes.
    pub(super) fn megabytes(&self) -> f64 {
        self.bytes as f64 / 1e6
    }
}

impl Spec {
    /// The snapshot, generated if the generator or the Node version changed since the last time.
    pub(super) fn generate(&self, tools: &Tools) -> Result<Heap> {
        let script = root().join("xtask/bench/heaps.cjs");
        let text = fs::read_to_string(&script)?;
        let recipe = format!("{text}\0{}\0{}\0{}", tools.node_version, self.target_bytes, self.chain);
        let slug = self.name.replace([' ', ','], "");
        let path = work_dir().join(format!("{slug}-{:016x}.heapsnapshot", fnv1a(recipe.as_bytes())));
        if !path.exists() {
            remove_older(&slug)?;
            self.generate_at(&path, &script, tools)?;
        }
        let heap = Heap::of_file(&path)?;
        Ok(Heap { name: self.name.to_owned(), about: self.about.to_owned(), ..heap })
    }

    /// Finds the number of requests that gives the wanted size: the file grows about linearly with it, so two
    /// small runs give a line, and a miss gives a better one.
    fn generate_at(&self, path: &Path, script: &Path, tools: &Tools) -> Result<()> {
        let part = path.with_extension("part");
        let size_with = |requests: u64| -> Result<f64> {
            println!("writing a snapshot after {requests} requests");
            let mut node = Command::new(&tools.node);
            // V8 wants some 300 bytes more for each node while it writes, but outside of this limit.
            node.arg("--max-old-space-size=12000").arg(script);
            node.arg(format!("--requests={requests}")).arg(format!("--chain={}", self.chain));
            check(node.arg("--out").arg(&part))?;
            Ok(fs::metadata(&part)?.len() as f64)
        };
        let target = self.target_bytes as f64;
        let mut points = Vec::new();
        for requests in CALIBRATION_REQUESTS {
            points.push((requests as f64, size_with(requests)?));
        }
        for _ in 0..4 {
            let [.., (x0, y0), (x1, y1)] = points[..] else { unreachable!("two calibration points") };
            let requests = (x1 + (target - y1) * (x1 - x0) / (y1 - y0)).max(0.0).round();
            let bytes = size_with(requests as u64)?;
            if (bytes / target - 1.0).abs() <= TOLERANCE {
                fs::rename(&part, path)?;
                return Ok(());
            }
            points.push((requests, bytes));
        }
        bail!("the snapshot's size does not follow the number of requests: {points:?}")
    }
}

/// Removes the files of earlier generators: they are large.
pub(super) fn remove_older(slug: &str) -> Result<()> {
    for entry in fs::read_dir(work_dir())? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.strip_prefix(slug).is_some_and(|rest| rest.starts_with('-'))
            && name.ends_with(".heapsnapshot")
        {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// FNV-1a: names cache files, guards nothing.
pub(super) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::fnv1a;

    #[test]
    fn fnv1a_matches_its_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
