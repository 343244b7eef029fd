import "./corpus.mjs";
import "./archives.mjs";
import "./registry.mjs";
import "./debian.mjs";
import "./stacks.mjs";
import "./stored.mjs";
import "./node.mjs";
import "./browser.mjs";
import "./large.mjs";

export { cases } from "../check.mjs";
