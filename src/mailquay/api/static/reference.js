window.addEventListener("load", () => {
  SwaggerUIBundle({
    url: "/swagger.json",
    dom_id: "#reference",
    deepLinking: true,
    validatorUrl: null,
    persistAuthorization: false,
    presets: [SwaggerUIBundle.presets.apis],
  });
});
