/** Lists of nodes as trees: what is below a row is another list of the same kind, or the row's own edges. */
import { type NodeRow, address, get } from "./api";
import type { Load, PageOf } from "./tree";
import type { Sorting } from "../parts/TreeTable";

export interface Question {
  file: number;
  of: "instances" | "children" | "retainers" | "dominated" | "search" | "copies";
  id?: number | undefined;
  class_id?: number | undefined;
  only?: string | undefined;
  text?: string | undefined;
}

export function listAddress(question: Question, offset: number, limit: number, sorting?: Sorting): string {
  const { file, ...rest } = question;
  return address(`files/${file}/list`, {
    ...rest,
    sort: sorting?.by,
    ascending: sorting?.ascending,
    offset: offset || undefined,
    limit,
  });
}

/** Loads a list and, below each row, the list `below` of the row's node. */
export function nodeLoader(
  question: Question,
  below: "children" | "retainers" | "dominated",
  sorting?: Sorting,
): Load<NodeRow> {
  return (parent, offset, limit, signal) => {
    const asked: Question = parent ? { file: question.file, of: below, id: parent.id } : question;
    return get<PageOf<NodeRow>>(listAddress(asked, offset, limit, sorting), signal);
  };
}

/** Siblings can be one node twice, by different edges. */
export function nodeKey(node: NodeRow): string {
  return node.edge ? `${node.id}.${hash(node.edge.type + node.edge.name)}` : String(node.id);
}

/** A short name for a text, for addresses. */
function hash(text: string): string {
  let sum = 0;
  for (let i = 0; i < text.length; i += 1) sum = (sum * 31 + text.charCodeAt(i)) | 0;
  return (sum >>> 0).toString(36);
}
