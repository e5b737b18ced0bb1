//! `histogram --realloc` of a native trace.

use serde::Serialize;
use twinheap_native::ReallocSite;

use super::histogram::site_words;
use super::{FrameJson, NativeSource, SelectionJson, place_json};
use crate::names::clean;
use crate::table::{Align, Table};
use crate::{SCHEMA_VERSION, Style};

/// What the list of call sites that reallocate shows.
pub struct ReallocsView<'a> {
    /// The recording.
    pub source: NativeSource<'a>,
    /// The call sites.
    pub sites: &'a [ReallocSite],
    /// Sites to print; JSON has all.
    pub most: usize,
}

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u32,
    kind: &'static str,
    file: &'a str,
    #[serde(flatten)]
    selection: SelectionJson<'a>,
    sites: Vec<SiteJson>,
    warnings: &'a [String],
}

#[derive(Serialize)]
struct SiteJson {
    chains: u64,
    reallocations: u64,
    longest_chain: u32,
    /// Of all chains together.
    first_bytes: u64,
    last_bytes: u64,
    copied_bytes_at_most: u64,
    frames: Vec<FrameJson>,
}

/// All call sites.
pub fn reallocs_json<'a>(view: &ReallocsView<'a>) -> impl Serialize + use<'a> {
    let site = |site: &ReallocSite| {
        let ReallocSite { ip, chains, reallocations, longest, first_bytes, last_bytes, copied_bytes } = *site;
        SiteJson {
            chains,
            reallocations,
            longest_chain: longest,
            first_bytes,
            last_bytes,
            copied_bytes_at_most: copied_bytes,
            frames: place_json(view.source.heap, ip),
        }
    };
    Document {
        schema_version: SCHEMA_VERSION,
        kind: "native-reallocs",
        file: view.source.file,
        selection: view.source.selection(),
        sites: view.sites.iter().map(site).collect(),
        warnings: view.source.warnings,
    }
}

/// The call sites that may have copied most.
pub fn reallocs_text(view: &ReallocsView<'_>, style: &Style) -> String {
    let source = &view.source;
    let mut out = format!("{}\n", source.heading(style));
    if view.sites.is_empty() {
        out.push_str("Nothing was reallocated.\n");
        return out;
    }
    let mut table = Table::new(&[
        ("copied ≤", Align::Right),
        ("reallocs", Align::Right),
        ("blocks", Align::Right),
        ("longest", Align::Right),
        ("from, on average", Align::Right),
        ("to", Align::Right),
        ("call site of the last", Align::Left),
    ]);
    let room = style.width.saturating_sub(76).max(24);
    for site in view.sites.iter().take(view.most) {
        let mean = |bytes: u64| style.size(bytes / site.chains.max(1));
        table.row(vec![
            style.size(site.copied_bytes),
            style.count(site.reallocations),
            style.count(site.chains),
            style.count(u64::from(site.longest)),
            mean(site.first_bytes),
            mean(site.last_bytes),
            clean(&site_words(source, site.ip), room),
        ]);
    }
    out.push_str(&table.render(style));
    if let Some(rest) = view.sites.len().checked_sub(view.most).filter(|&rest| rest > 0) {
        let rest = style.count(rest as u64);
        out.push_str(&style.dim(&format!("… {rest} more call sites (--limit N, or --json for all)\n")));
    }
    out
}
