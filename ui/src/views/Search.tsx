/** Objects whose text or class has a text in it, or the one with an id. */
import { useState } from "react";

import { type Info, address } from "../lib/api";
import { many, visible } from "../lib/format";
import { useRoute } from "../lib/route";
import { useAnswer } from "../lib/use";
import { Inspector } from "../parts/Inspector";
import { NodeTree, choose } from "../parts/nodes";
import { Split } from "../parts/Split";
import type { ViewProps } from "./list";

export function Search({ file }: ViewProps) {
  const route = useRoute();
  const text = route["q"] ?? "";
  const info = useAnswer<Info>(address(`files/${file.id}/info`));
  const [total, setTotal] = useState<number>();
  const whole = info.data?.total_size ?? 0;
  return (
    <Split
      top={
        <>
          <div className="toolbar">
            <span role="status">
              {total === undefined ? "searching…" : many(total, "object")} for <strong>{visible(text)}</strong>
            </span>
          </div>
          <NodeTree
            label="Search results"
            question={{ file: file.id, of: "search", text }}
            below="children"
            whole={whole}
            onTotal={setTotal}
            empty={
              text.startsWith("@")
                ? "This file has no object with that id. Ids belong to one process: choose the file it was seen in."
                : "Nothing has this text in its name or class. Property names are not searched: try Containment."
            }
            onSelect={choose}
          />
        </>
      }
      bottom={<Inspector file={file} whole={whole} />}
    />
  );
}
