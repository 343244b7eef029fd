// Wharfie in Chromium: the inspector, as a user has it; the root is saved as its download.
import { copyFileSync } from "node:fs";
import { openPage, saved, settled, trouble } from "../../../bindings-wasm/inspector/tests/page.mjs";

const [name, output] = process.argv.slice(2);
const { page, close } = await openPage();
try {
  await page.fill("#name", name);
  await page.keyboard.press("Enter");
  await settled(page);
  const told = await trouble(page);
  if (told) throw new Error(told.text);
  const root = await saved(page, () => page.click("#export-tar"));
  copyFileSync(root.path, output);
} finally {
  await close();
}
