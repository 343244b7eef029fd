#!/usr/bin/env node
/** The native command line. */

import { exit, argv } from "node:process";

import { load } from "./native.js";

const { native, reason } = load();
if (!native) {
  console.error(`wharfie: the command line takes the native package of this platform: ${reason}`);
  exit(2);
}
// It has the process to itself: its own threads, the standard streams, and Ctrl-C.
exit(native.run(["wharfie", ...argv.slice(2)]));
