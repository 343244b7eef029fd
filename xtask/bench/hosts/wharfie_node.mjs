// Wharfie in Node, by its own fetch; WHARFIE_BACKEND says native or wasm.
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Image } from "wharfie";

const [name, output, store] = process.argv.slice(2);
const image = await Image.open(name, { store });
const exported = image.export();
await pipeline(exported instanceof Readable ? exported : Readable.fromWeb(exported), createWriteStream(output));
await image.close();
