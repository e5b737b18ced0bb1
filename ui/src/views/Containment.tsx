/** The heap from its roots: what refers to what, edge by edge. */
import { type Info, address } from "../lib/api";
import { useAnswer } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { NodeTree, choose } from "../parts/nodes";
import { Split } from "../parts/Split";
import { Failed } from "../parts/Words";
import type { ViewProps } from "./list";

export function Containment({ file }: ViewProps) {
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  if (info.error) return <Failed error={info.error} />;
  if (!info.data) return <p className="note busy">working…</p>;
  const whole = info.data.total_size;
  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <span className="dim">From the roots down, edge by edge. Names in angle brackets are links that no program sees.</span>
          </div>
          <NodeTree
            label="Containment"
            title="Reference"
            question={{ file: file.id, of: "children", id: info.data.root_id }}
            below="children"
            whole={whole}
            onSelect={choose}
          />
        </>
      }
      bottom={<Inspector file={file} whole={whole} />}
    />
  );
}
