/** Views of native traces. */
import type { View } from "../list";
import { CallerCallee } from "./CallerCallee";
import { NativeDiff } from "./Diff";
import { Flame } from "./Flame";
import { HistogramView } from "./Histogram";
import { NativeStart } from "./Start";
import { NativeVerdictView } from "./Verdict";
import { BottomUp, TopDown } from "./Trees";

export const NATIVE_VIEWS: View[] = [
  { name: "native", title: "Summary", Body: NativeStart },
  { name: "native-verdict", title: "Verdict", Body: NativeVerdictView },
  { name: "bottom-up", title: "Bottom-up", Body: BottomUp },
  { name: "top-down", title: "Top-down", Body: TopDown },
  { name: "callers", title: "Caller / callee", Body: CallerCallee },
  { name: "flame", title: "Flame graph", Body: Flame },
  { name: "sizes", title: "Sizes", Body: HistogramView },
  { name: "native-diff", title: "Comparison", Body: NativeDiff },
];
