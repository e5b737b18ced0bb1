//! Which npm package a file belongs to.

const FOLDER: &str = "node_modules/";

/// The npm package that owns the module or script at `path`, a path with slashes of either kind or an address
/// (`file:///…`); `None` outside of every `node_modules`.
///
/// The innermost folder decides, so pnpm's `.pnpm/name@1.2.3/node_modules/name/…` is `name`. Names that begin with a
/// dot are no packages but what tools keep there (`.bin`, `.cache`, `.pnpm`): those belong to the package around them.
pub fn package_of(path: &str) -> Option<String> {
    let path = path.replace('\\', "/");
    let mut before = &*path;
    while let Some(at) = before.rfind(FOLDER) {
        let is_whole = at == 0 || path.as_bytes()[at - 1] == b'/';
        if let Some(name) = package_at(&path[at + FOLDER.len()..]).filter(|_| is_whole) {
            return Some(name.to_owned());
        }
        before = &path[..at];
    }
    None
}

/// The package whose folder `path` begins with.
fn package_at(path: &str) -> Option<&str> {
    let is_name = |name: &str| !name.is_empty() && !name.starts_with('.');
    let (first, rest) = path.split_once('/').filter(|(first, _)| is_name(first))?;
    if !first.starts_with('@') {
        return Some(first);
    }
    let (second, _) = rest.split_once('/').filter(|(second, _)| is_name(second))?;
    Some(&path[..first.len() + 1 + second.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, expected: Option<&str>) {
        assert_eq!(package_of(path).as_deref(), expected, "{path}");
    }

    #[test]
    fn the_innermost_folder_of_packages_decides() {
        check("/srv/app/node_modules/@scope/pkg/build/Release/x.node", Some("@scope/pkg"));
        check("/srv/app/node_modules/sharp/lib/index.js", Some("sharp"));
        check("/a/node_modules/outer/node_modules/inner/x.js", Some("inner"));
        check("/a/node_modules/.pnpm/sharp@0.33.1/node_modules/sharp/x.node", Some("sharp"));
        check("/a/node_modules/.pnpm/@img+x@1.0.0/node_modules/@img/x/lib.so", Some("@img/x"));
        check("/a/.yarn/unplugged/y-npm-1.2/node_modules/y/y.node", Some("y"));
        check("file:///srv/a b/node_modules/pkg/x.mjs", Some("pkg"));
        check("node_modules/pkg/x.mjs", Some("pkg"));
        check("C:\\a\\node_modules\\@scope\\pkg\\x.js", Some("@scope/pkg"));
    }

    #[test]
    fn what_is_no_package_belongs_to_the_one_around_it() {
        check("/a/node_modules/outer/node_modules/.cache/x.node", Some("outer"));
        check("/a/node_modules/.bin/tsc", None);
        check("/a/node_modules/x.js", None);
        check("/a/node_modules/@scope/x.js", None);
        check("/a/node_modules//x.js", None);
        check("/a/my_node_modules/pkg/x.js", None);
        check("/usr/bin/node", None);
        check("node:internal/fs", None);
        check("", None);
    }
}
