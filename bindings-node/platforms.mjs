// The platforms that have a package of their own: what Node calls them, and what cargo does (BUILD of the project says how
// each is built).

export const platforms = [
  { name: "linux-x64-gnu", os: "linux", cpu: "x64", libc: "glibc", target: "x86_64-unknown-linux-gnu", file: "libwharfie_node.so" },
  { name: "linux-arm64-gnu", os: "linux", cpu: "arm64", libc: "glibc", target: "aarch64-unknown-linux-gnu", file: "libwharfie_node.so" },
  { name: "linux-x64-musl", os: "linux", cpu: "x64", libc: "musl", target: "x86_64-unknown-linux-musl", file: "libwharfie_node.so" },
  { name: "linux-arm64-musl", os: "linux", cpu: "arm64", libc: "musl", target: "aarch64-unknown-linux-musl", file: "libwharfie_node.so" },
  { name: "darwin-arm64", os: "darwin", cpu: "arm64", target: "aarch64-apple-darwin", file: "libwharfie_node.dylib" },
  { name: "win32-x64-gnu", os: "win32", cpu: "x64", target: "x86_64-pc-windows-gnu", file: "wharfie_node.dll" },
];
