//! Runs Chrome DevTools' engine and the Node versions that it is asked about; see `tests/oracle`.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// A folder for one test: the snapshots it takes and the answers about them. It stays when the test fails.
pub(crate) struct Lab {
    folder: PathBuf,
}

impl Lab {
    /// An empty folder, named after the test.
    #[track_caller]
    pub(crate) fn new(test: &str) -> Self {
        let modules = oracle_folder().join("node_modules");
        // A parity test that quietly tests nothing is worse than none.
        assert!(modules.is_dir(), "{} is missing: run `cargo xtask setup`", modules.display());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("parity").join(test);
        if folder.exists() {
            fs::remove_dir_all(&folder).expect("cannot empty the folder of an earlier run");
        }
        fs::create_dir_all(&folder).expect("cannot create a folder in target");
        Self { folder }
    }

    /// A path in this folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Removes everything: a run makes hundreds of megabytes.
    pub(crate) fn clean_up(self) {
        fs::remove_dir_all(self.folder).expect("cannot remove the test's folder");
    }

    /// Lets a Node version write snapshots of the zoo in this mode; see `zoo.cjs` for the names of the files.
    #[track_caller]
    pub(crate) fn take_zoo(&self, node: &str, mode: &str) {
        let binary = node_binary(node);
        let mut command = if mode == "timeline" {
            let mut driver = Command::new(node_binary(NEWEST));
            driver.arg(oracle_folder().join("timeline.mjs")).arg(binary).arg(self.path("zoo.heaptimeline"));
            driver
        } else {
            let mut zoo = Command::new(binary);
            zoo.arg(oracle_folder().join("zoo.cjs")).arg(&self.folder).arg(mode);
            zoo
        };
        run(&mut command);
    }

    /// Writes `count` random graphs, `random-SEED.heapsnapshot`, each with a later one, `random-SEED-next`.
    #[track_caller]
    pub(crate) fn make_random(&self, first_seed: u32, count: u32) {
        let mut command = self.script("random.mjs");
        run(command.arg(&self.folder).args([first_seed.to_string(), count.to_string()]));
    }

    /// Asks DevTools about these files: `NAME.nodes.tsv` and `NAME.summary.json` for each.
    #[track_caller]
    pub(crate) fn analyse(&self, files: &[PathBuf]) {
        run(self.script("devtools.mjs").arg("analyse").arg(&self.folder).args(files));
    }

    /// Asks DevTools for its filters, duplicate strings and the neighbours of some nodes: `NAME.queries.json`.
    #[track_caller]
    pub(crate) fn query(&self, files: &[PathBuf]) {
        run(self.script("devtools.mjs").arg("query").arg(&self.folder).args(files));
    }

    /// Asks DevTools to compare these pairs: `BASE..NEW.diff.json` for each.
    #[track_caller]
    pub(crate) fn compare(&self, pairs: &[(PathBuf, PathBuf)]) {
        let mut command = self.script("devtools.mjs");
        command.arg("diff").arg(&self.folder);
        for (base, new) in pairs {
            command.arg(base).arg(new);
        }
        run(&mut command);
    }

    /// A JSON answer in this folder.
    #[track_caller]
    pub(crate) fn json(&self, name: &str) -> Value {
        let file = File::open(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        serde_json::from_reader(BufReader::new(file)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(node_binary(NEWEST));
        command.arg(oracle_folder().join(name)).current_dir(&self.folder);
        command
    }
}

/// Runs our own program and gives its standard output.
#[track_caller]
pub(crate) fn twinheap<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(arguments: I) -> Vec<u8> {
    run(Command::new(env!("CARGO_BIN_EXE_twinheap")).args(arguments))
}

/// The file's name without the ending, which is what the oracle calls its answers.
pub(crate) fn name_of(file: &Path) -> String {
    let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
    let stem = name.find(".heap").map(|end| name[..end].to_owned());
    stem.unwrap_or(name)
}

/// The Node version that runs the oracle.
const NEWEST: &str = "node26";

fn oracle_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/oracle")
}

fn node_binary(name: &str) -> PathBuf {
    oracle_folder().join("node_modules").join(name).join("bin/node")
}

#[track_caller]
fn run(command: &mut Command) -> Vec<u8> {
    // Without the caller's environment: a snapshot of Node contains all of it.
    command.env_clear().env("PATH", "/usr/bin:/bin");
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stderr}", output.status);
    output.stdout
}
