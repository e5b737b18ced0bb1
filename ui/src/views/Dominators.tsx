/** The dominator tree, as a table or as an icicle: who alone keeps what alive. */
import { type Info, type Tile, address } from "../lib/api";
import { step, useRoute } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { NodeTree, choose } from "../parts/nodes";
import { Split } from "../parts/Split";
import { Treemap } from "../parts/Treemap";
import { Failed } from "../parts/Words";
import type { ViewProps } from "./list";

export function Dominators({ file }: ViewProps) {
  const route = useRoute();
  const isIcicle = route["as"] === "icicle";
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const tiles = useAnswer<Tile>(isIcicle ? address(`files/${file.id}/tiles`, { by: "class" }) : null);
  if (info.error) return <Failed error={info.error} />;
  if (!info.data) return <p className="note busy">working…</p>;
  const whole = info.data.total_size;
  const bar = (
    <div className="toolbar">
      <div className="segments" role="group" aria-label="Dominators as">
        <button type="button" aria-pressed={!isIcicle} onClick={() => step({ as: undefined, zoom: undefined })}>
          tree
        </button>
        <button type="button" aria-pressed={isIcicle} onClick={() => step({ as: "icicle" })}>
          icicle
        </button>
      </div>
      <span className="dim">
        {isIcicle
          ? "Below a class lies what would be freed with its objects there. A click goes in, a click on the top goes back."
          : "Below an object stands what would be freed with it; the sizes of siblings don't overlap."}
      </span>
    </div>
  );
  if (isIcicle) {
    return (
      <div className="whole icicle">
        {bar}
        {tiles.error && <Failed error={tiles.error} />}
        {tiles.data && (
          <Treemap
            isIcicle
            label="Dominators as an icicle"
            root={tiles.data}
            zoom={route["zoom"] ?? ""}
            onZoom={(zoom) => step({ zoom })}
            onClass={(tile) => {
              if (tile.class !== null) {
                step({ view: "summary", filter: tile.name, open: String(tile.class), as: undefined, zoom: undefined });
              }
            }}
          />
        )}
      </div>
    );
  }
  return (
    <Split
      top={
        <>
          {bar}
          <NodeTree
            label="Dominator tree"
            question={{ file: file.id, of: "dominated", id: info.data.root_id }}
            below="dominated"
            whole={whole}
            onSelect={choose}
          />
        </>
      }
      bottom={<Inspector file={file} whole={whole} />}
    />
  );
}
