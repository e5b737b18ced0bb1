/** The dominator tree: who alone keeps what alive. */
import { type Info, address } from "../lib/api";
import { adjust } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { NodeTree } from "../parts/nodes";
import { Split } from "../parts/Split";
import { Failed } from "../parts/Words";
import type { ViewProps } from "./list";

export function Dominators({ file }: ViewProps) {
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  if (info.error) return <Failed error={info.error} />;
  if (!info.data) return <p className="note busy">working…</p>;
  const whole = info.data.total_size;
  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <span className="dim">
              Below an object stands what would be freed with it; the sizes of siblings don&apos;t overlap.
            </span>
          </div>
          <NodeTree
            label="Dominator tree"
            question={{ file: file.id, of: "dominated", id: info.data.root_id }}
            below="dominated"
            whole={whole}
            onSelect={(node) => adjust({ id: String(node.id), rrow: undefined, ropen: undefined, ignore: undefined })}
          />
        </>
      }
      bottom={<Inspector file={file} whole={whole} />}
    />
  );
}
