//! Colours: a hue for each large module, one for JavaScript, one for V8's builtins, none for what is unknown.

use super::graph::{FlameGraph, FlameKind};

/// Hues for the modules that cost most, in degrees. They keep away from those of JavaScript and builtins.
const MODULES: [u16; 8] = [212, 150, 345, 185, 100, 255, 15, 320];
const JS: u16 = 45;
const BUILTIN: u16 = 285;
/// No colour: the mark of grey.
pub(super) const GREY: u16 = 999;

/// The hue of each module: those that allocate most have one of their own, the others share.
pub(super) fn module_hues(graph: &FlameGraph) -> Vec<u16> {
    let order = modules_by_cost(graph);
    let mut hues = vec![GREY; graph.modules.len()];
    for (at, &module) in order.iter().enumerate() {
        hues[module] = MODULES[at % MODULES.len()];
    }
    hues
}

/// The modules that have native functions, those through which most bytes are allocated first.
pub(super) fn modules_by_cost(graph: &FlameGraph) -> Vec<usize> {
    let mut through = vec![0_u64; graph.len()];
    let mut of_module = vec![(0_u64, false); graph.modules.len()];
    for node in (0..graph.len()).rev() {
        through[node] = through[node].saturating_add(graph.own[node][4]);
        let symbol = &graph.symbols[graph.symbol[node] as usize];
        let (sum, is_native) = &mut of_module[symbol.module as usize];
        *is_native |= symbol.kind == FlameKind::Native && symbol.module > 0;
        let parent = (graph.parents[node] as usize).checked_sub(1);
        let caller = parent.map(|parent| graph.symbols[graph.symbol[parent] as usize].module);
        if let Some(parent) = parent {
            through[parent] = through[parent].saturating_add(through[node]);
        }
        // Only where the module is entered, so that a deep stack does not count for more.
        if caller != Some(symbol.module) {
            *sum = sum.saturating_add(through[node]);
        }
    }
    let mut order: Vec<usize> = (0..graph.modules.len()).filter(|&module| of_module[module].1).collect();
    order.sort_by_key(|&module| std::cmp::Reverse(of_module[module].0));
    order
}

/// The hue of each kind and module.
pub(super) fn hue(kind: FlameKind, module_hue: u16) -> u16 {
    match kind {
        FlameKind::Native => module_hue,
        FlameKind::Js => JS,
        FlameKind::Builtin => BUILTIN,
        FlameKind::Unknown => GREY,
    }
}

/// A light colour on which black text can be read, as `#rrggbb`. `shade` 0 to 3 makes neighbours of one hue differ.
pub(super) fn fill(hue: u16, shade: u8) -> String {
    let lightness = 0.70 + 0.035 * f64::from(shade % 4);
    let saturation = if hue == GREY { 0.0 } else { 0.62 };
    // https://www.w3.org/TR/css-color-4/#hsl-to-rgb
    let channel = |n: f64| {
        let k = (n + f64::from(hue % 360) / 30.0) % 12.0;
        let amount = saturation * lightness.min(1.0 - lightness);
        let value = lightness - amount * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0);
        (value * 255.0).round() as u8
    };
    format!("#{:02x}{:02x}{:02x}", channel(0.0), channel(8.0), channel(4.0))
}

/// A shade that belongs to a name. FNV-1a.
pub(super) fn shade(name: &str) -> u8 {
    let hash =
        name.bytes().fold(0x811C_9DC5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 13) as u8 % 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_become_colours() {
        assert_eq!(fill(0, 0), "#e28383");
        assert_eq!(fill(120, 0), "#83e283");
        assert_eq!(fill(240, 0), "#8383e2");
        assert_eq!(fill(GREY, 0), "#b3b3b3");
    }
}
