"""The official OpenAI SDK against a real gateway: `run.py PROGRAM`."""

import sys
import typing
import unittest

import openai
import pydantic

from gateway import LOCAL, Gateway

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
# README's question. Without a system message the model uses its own, after which four bits leave "L'" and "The" equally likely.
ASSISTED = [{"role": "system", "content": "You are a helpful assistant."}, *QUESTION]


class Weather(pydantic.BaseModel):
    city: str
    degrees: int


class Choice(pydantic.BaseModel):
    """What a small model can fill in to the end: every value is one of a few."""

    city: typing.Literal["Paris", "London"]
    warm: bool


class Sdk(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(PROGRAM).__enter__()
        cls.addClassCleanup(cls.gateway.__exit__)
        cls.client = openai.OpenAI(base_url=cls.gateway.url, api_key=cls.gateway.key, max_retries=0)

    def test_a_whole_answer(self):
        answer = self.client.chat.completions.create(model="proper", messages=QUESTION)

        self.assertEqual(answer.choices[0].message.content, "Hello from the provider.")
        self.assertEqual(answer.usage.total_tokens, 18)

    def test_a_streamed_answer_with_usage(self):
        stream = self.client.chat.completions.create(
            model="proper", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )

        chunks = list(stream)

        words = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
        self.assertEqual(words, ["Hello", "from", "the", "provider."])
        self.assertEqual(chunks[-1].usage.total_tokens, 18)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_a_tool_call_is_parsed(self):
        tool = openai.pydantic_function_tool(Weather)

        answer = self.client.chat.completions.parse(model="proper", messages=QUESTION, tools=[tool])

        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.name, "Weather")
        self.assertEqual(call.function.parsed_arguments, Weather(city="CANARY_OK", degrees=7))

    def test_a_streamed_tool_call_is_put_together(self):
        tool = openai.pydantic_function_tool(Weather)

        with self.client.chat.completions.stream(model="proper", messages=QUESTION, tools=[tool]) as stream:
            answer = stream.get_final_completion()

        call = answer.choices[0].message.tool_calls[0]
        self.assertEqual(call.function.parsed_arguments, Weather(city="CANARY_OK", degrees=7))

    def test_a_structured_output_is_parsed(self):
        answer = self.client.chat.completions.parse(model="proper", messages=QUESTION, response_format=Weather)

        self.assertEqual(answer.choices[0].message.parsed, Weather(city="CANARY_OK", degrees=7))

    def test_models_are_listed(self):
        names = {model.id for model in self.client.models.list()}

        self.assertLessEqual({"auto", LOCAL, "proper"}, names)
        self.assertEqual(self.client.models.retrieve("proper").id, "proper")

    def test_embeddings_of_a_provider(self):
        answer = self.client.embeddings.create(model="embedder", input="hello", encoding_format="float")

        self.assertEqual(answer.data[0].embedding, [0.25, -0.5, 1.0])

    def test_embeddings_of_the_router_model(self):
        # The SDK asks for base64 by itself and decodes it.
        answer = self.client.embeddings.create(model="pointsman-router", input=["hello", "hello", "tax law"])

        same, again, other = (row.embedding for row in answer.data)
        self.assertEqual(same, again)
        self.assertNotEqual(same, other)
        self.assertAlmostEqual(sum(x * x for x in same), 1.0, places=3)

    def test_errors_have_their_own_classes(self):
        def ask(model, client=self.client, **more):
            return client.chat.completions.create(model=model, messages=QUESTION, **more)

        with self.assertRaises(openai.AuthenticationError):
            ask("proper", self.client.with_options(api_key="sk-wrong"))
        with self.assertRaises(openai.NotFoundError) as missing:
            ask("nobody")
        self.assertEqual(missing.exception.code, "model_not_found")
        with self.assertRaises(openai.BadRequestError):
            ask("bad-request")
        with self.assertRaises(openai.BadRequestError) as wrong:
            ask("proper", temperature=9)
        self.assertEqual(wrong.exception.param, "temperature")
        with self.assertRaises(openai.RateLimitError):
            ask("busy")

    def test_auto_is_answered_by_the_local_model_and_then_from_the_cache(self):
        def ask():
            raw = self.client.chat.completions.with_raw_response.create(
                model="auto", messages=ASSISTED, temperature=0, max_tokens=16
            )
            return raw.headers, raw.parse()

        headers, answer = ask()
        headers_again, answer_again = ask()

        self.assertIn("Paris", answer.choices[0].message.content)
        self.assertEqual(headers["x-pointsman-model"], LOCAL)
        self.assertEqual(headers["x-pointsman-cache"], "miss")
        self.assertTrue(headers["x-pointsman-policy"].startswith("default@"))
        self.assertIn("score;dur=", headers["server-timing"])
        self.assertEqual(headers_again["x-pointsman-cache"], "hit")
        self.assertEqual(answer_again.choices[0].message.content, answer.choices[0].message.content)

    def test_the_local_model_calls_a_tool_and_keeps_to_a_schema(self):
        question = [{"role": "user", "content": "Is it warm in Paris?"}]

        called = self.client.chat.completions.parse(
            model=LOCAL,
            messages=question,
            tools=[openai.pydantic_function_tool(Choice)],
            tool_choice="required",
            parallel_tool_calls=False,
            temperature=0,
            max_tokens=160,
        )
        parsed = self.client.chat.completions.parse(
            model=LOCAL, messages=question, response_format=Choice, temperature=0, max_tokens=160
        )

        self.assertEqual(called.choices[0].finish_reason, "tool_calls")
        self.assertIsInstance(called.choices[0].message.tool_calls[0].function.parsed_arguments, Choice)
        self.assertIsInstance(parsed.choices[0].message.parsed, Choice)

    def test_the_local_model_says_how_likely_its_tokens_are(self):
        answer = self.client.chat.completions.create(
            model=LOCAL, messages=QUESTION, temperature=0, max_tokens=4, logprobs=True, top_logprobs=3, seed=1
        )

        tokens = answer.choices[0].logprobs.content
        self.assertEqual(len(tokens), 4)
        for token in tokens:
            self.assertEqual(token.token, token.top_logprobs[0].token, "greedy tokens are the likeliest")
            self.assertTrue(all(-99 < other.logprob <= 0 for other in token.top_logprobs))

    def test_the_local_model_streams(self):
        stream = self.client.chat.completions.create(
            model=LOCAL, messages=QUESTION, temperature=0, max_tokens=12, stream=True, extra_headers={"cache-control": "no-store"}
        )

        chunks = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]

        self.assertGreater(len([text for text in chunks if text]), 3, "an answer in one piece is no stream")


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=2)
