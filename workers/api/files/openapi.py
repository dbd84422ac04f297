"""Files in the OpenAPI document."""

from typing import Final

from workers.api.describing import (
    BYTES,
    FORM,
    INTEGER,
    MAYBE_SECONDS,
    MAYBE_STRING,
    SECONDS,
    STRING,
    Operation,
    const,
    define,
    define_lists,
    deleted,
    obj,
    one_of,
    paging,
    ref,
)
from workers.api.files import protocol

FILE: Final = obj(
    {
        "id": STRING,
        "object": const("file"),
        "bytes": INTEGER,
        "created_at": SECONDS,
        "expires_at": MAYBE_SECONDS,
        "filename": STRING,
        "purpose": one_of(protocol.LISTED_PURPOSES),
        "status": const("processed"),
        "status_details": MAYBE_STRING,
    }
)
UPLOAD: Final = {
    "type": "object",
    "properties": {
        "file": {"type": "string", "contentMediaType": BYTES, "format": "binary"},
        "purpose": one_of(protocol.PURPOSES),
        "expires_after[anchor]": const("created_at"),
        "expires_after[seconds]": {"type": "integer", **protocol.LIFE},
    },
    "required": ["file", "purpose"],
    "dependentRequired": {
        "expires_after[anchor]": ["expires_after[seconds]"],
        "expires_after[seconds]": ["expires_after[anchor]"],
    },
    "additionalProperties": False,
}
define({"File": FILE, "FileUpload": UPLOAD})
define_lists({"FileList": "File"})
TAG: Final = "Files"
LIST: Final = Operation(
    id="listFiles",
    tag=TAG,
    summary="List your files",
    query={
        **paging(default=protocol.MOST_LISTED, most=protocol.MOST_LISTED),
        "purpose": one_of(protocol.LISTED_PURPOSES),
    },
    answer=ref("FileList"),
)
UPLOAD_FILE: Final = Operation(
    id="uploadFile",
    tag=TAG,
    summary="Upload a file",
    description="Files for 'batch' and 'fine-tune' are checked line by line.",
    body=ref("FileUpload"),
    body_type=FORM,
    answer=ref("File"),
    code={
        "python": """\
from openai import OpenAI

client = OpenAI(base_url="BASE_URL/v1", api_key="KEY")
with open("requests.jsonl", "rb") as file:
    uploaded = client.files.create(file=file, purpose="batch")
print(uploaded.id)
""",
        "node": """\
import fs from "node:fs";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "BASE_URL/v1", apiKey: "KEY" });
const uploaded = await client.files.create({
  file: fs.createReadStream("requests.jsonl"),
  purpose: "batch",
});
console.log(uploaded.id);
""",
    },
)
RETRIEVE: Final = Operation(
    id="retrieveFile", tag=TAG, summary="Retrieve a file's description", answer=ref("File")
)
DELETE: Final = Operation(id="deleteFile", tag=TAG, summary="Delete a file", answer=deleted("file"))
CONTENT: Final = Operation(id="downloadFile", tag=TAG, summary="Download a file's content")
