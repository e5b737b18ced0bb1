/** A treemap of plain elements: its texts can be read aloud, selected and tested. A click goes into a tile. */
import { useMemo, useState } from "react";

import type { Tile } from "../lib/api";
import { many, percent, size, visible } from "../lib/format";
import { type Box, layOut, layOutIcicle } from "../lib/treemap";
import { useSize } from "../lib/use";

interface Props {
  root: Tile;
  /** Positions from the whole to the tile that is shown, as in `2.0.1`. */
  zoom: string;
  onZoom: (zoom: string) => void;
  onClass: (tile: Tile) => void;
  label: string;
  isIcicle?: boolean;
}

export function Treemap({ root, zoom, onZoom, onClass, label, isIcicle }: Props) {
  const [ref, { width, height }] = useSize();
  const [over, setOver] = useState<Tile | null>(null);
  const trail = useMemo(() => trailOf(root, zoom), [root, zoom]);
  const shown = trail.at(-1)?.tile ?? root;
  const boxes = useMemo(() => (isIcicle ? layOutIcicle : layOut)(shown, width, height, nameHeight()), [shown, width, height, isIcicle]);
  const into = (box: Box) => {
    if (box.path.length === 0) {
      if (trail.length > 1) onZoom(trail.at(-2)?.zoom ?? "");
    } else if (box.tile.children?.length) onZoom([zoom, box.path.join(".")].filter(Boolean).join("."));
    else onClass(box.tile);
  };
  const told = over ?? shown;
  return (
    <figure className="treemap" aria-label={label}>
      <div className="trail">
        {trail.map((step, at) => (
          <span key={step.zoom}>
            {at > 0 && <span className="dim"> › </span>}
            {at < trail.length - 1 ? (
              <button type="button" className="link" onClick={() => onZoom(step.zoom)}>
                {at === 0 ? "all" : visible(step.tile.name)}
              </button>
            ) : (
              <strong>{at === 0 ? "all" : visible(step.tile.name)}</strong>
            )}
          </span>
        ))}
        <span className="spring" />
        <span className="dim told" aria-live="polite">
          {visible(told.name)} · {size(told.size)} · {percent(told.size, root.size)}
          {told !== root && told.count > 0 && ` · ${many(told.count, "object")}`}
        </span>
        {shown.class !== null && (
          <button type="button" className="quiet" onClick={() => onClass(shown)}>
            Show the class
          </button>
        )}
      </div>
      <div className="tiles" ref={ref} onPointerLeave={() => setOver(null)}>
        {boxes.map((box) => (
          <div
            key={box.path.join(".")}
            role="button"
            tabIndex={box.hasName ? 0 : -1}
            className={`tile depth-${isIcicle ? (box.depth % 2) + 1 : box.depth} group-${box.group % 10}`}
            style={{ left: box.x, top: box.y, width: box.width, height: box.height }}
            aria-label={`${box.tile.name}, ${size(box.tile.size)}, ${percent(box.tile.size, root.size)}`}
            onPointerOver={(event) => {
              event.stopPropagation();
              setOver(box.tile);
            }}
            onFocus={() => setOver(box.tile)}
            onClick={() => into(box)}
            onKeyDown={(event) => {
              if (event.key === "Enter" || event.key === " ") {
                event.preventDefault();
                into(box);
              } else if (event.key === "Backspace" && trail.length > 1) {
                onZoom(trail.at(-2)?.zoom ?? "");
              }
            }}
          >
            {box.hasName && (
              <span className="tile-name">
                {visible(box.tile.name)} {box.width > 120 && <span className="tile-size">{size(box.tile.size)}</span>}
              </span>
            )}
          </div>
        ))}
      </div>
    </figure>
  );
}

/** Names grow with the type. */
function nameHeight(): number {
  return 1.3 * parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/** The tiles from the whole to the one that is shown. */
function trailOf(root: Tile, zoom: string): { tile: Tile; zoom: string }[] {
  const trail = [{ tile: root, zoom: "" }];
  let at = root;
  const parts = zoom.split(".").filter(Boolean);
  for (const [depth, part] of parts.entries()) {
    const next = at.children?.[Number(part)];
    if (!next) break;
    at = next;
    trail.push({ tile: at, zoom: parts.slice(0, depth + 1).join(".") });
  }
  return trail;
}
