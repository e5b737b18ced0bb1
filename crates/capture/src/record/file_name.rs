//! Names of recordings.

use std::path::{Path, PathBuf};

/// The name of a process's file: `%p` is its number, `%h` the machine's name, `%%` a per cent sign, as in heaptrack. A
/// child whose number is not in the pattern gets it in front of the extension, so that it has a file of its own.
pub(super) fn file_name(pattern: &Path, pid: u32, host: &str, is_child: bool) -> PathBuf {
    let text = pattern.to_string_lossy();
    let mut name = String::with_capacity(text.len() + 16);
    let mut has_pid = false;
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        match (letter, rest.clone().next()) {
            ('%', Some('p')) => {
                name.push_str(&pid.to_string());
                has_pid = true;
            }
            ('%', Some('h')) => name.push_str(host),
            ('%', Some('%')) => name.push('%'),
            _ => {
                name.push(letter);
                continue;
            }
        }
        rest.next();
    }
    let path = PathBuf::from(name);
    if !is_child || has_pid {
        return path;
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    path.with_file_name(match extension {
        Some(extension) => format!("{stem}.{pid}.{extension}"),
        None => format!("{stem}.{pid}"),
    })
}

/// The name for what a process was before it became another program, for the given time.
pub(super) fn before_exec(path: &Path, number: u32) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(format!(".before-exec-{number}"));
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_filled_in() {
        let check = |pattern: &str, is_child, expected: &str| {
            assert_eq!(file_name(Path::new(pattern), 42, "box", is_child), Path::new(expected), "{pattern}");
        };
        check("out.heaptrace", false, "out.heaptrace");
        check("out.heaptrace", true, "out.42.heaptrace");
        check("dir.d/out", true, "dir.d/out.42");
        check("%h-%p.heaptrace", true, "box-42.heaptrace");
        check("100%%.%p.x", false, "100%.42.x");
        check("odd%", false, "odd%");
        check("%q", false, "%q");
    }
}
