/** The flame graph: the page that `twinheap flamegraph` writes, in a frame with rules of its own. */
import { byOf, nativeAddress } from "../../lib/native";
import { useRoute } from "../../lib/route";
import type { ViewProps } from "../list";
import { NativeBar } from "./Bar";

export function Flame({ file }: ViewProps) {
  const route = useRoute();
  const url = nativeAddress(file.id, "flamegraph", route);
  return (
    <div className="whole">
      <NativeBar file={file} />
      <iframe key={url} className="flame" title={`Flame graph by ${byOf(route)}`} src={url} />
    </div>
  );
}
